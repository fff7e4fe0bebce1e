"""What this machine does with a model and cameras, for `tocsin bench vision`: `python -m edge.vision.bench`, two JSON objects on standard
output: whether the model can be measured, and what was.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from edge.vision.nn.detector import Detector
from edge.vision.nn.feeds import Feeder
from edge.vision.nn.load import find, load_detector
from edge.vision.nn.session import Session
from edge.vision.opencv import cv2
from edge.vision.pipeline.camera import Camera
from edge.vision.pipeline.looking import ModelLook
from edge.vision.pipeline.pace import Attention, Rates
from edge.vision.pipeline.pipeline import Pipeline
from edge.vision.sources.options import SourceOptions, opener
from edge.vision.whole import frames_in
from tocsin.errors import ConfigError, FolderError, ModelError, TocsinError
from tocsin.sdk import SystemClock

CLIP_FPS, CLIP_S, CLIPS = 30, 4, 2
SIZE = (640, 360)
WARM_UP_S = 2.0
ALL = Rates(idle_fps=1000.0, gated_fps=1000.0, open_fps=1000.0)
ONE = Rates(idle_fps=1.0, gated_fps=1.0, open_fps=1.0)


class Run(msgspec.Struct, frozen=True):
    """One measurement of the pipeline."""

    cameras: int
    seconds: float
    decoded_per_s: float
    looked_per_s: float
    passed_over: int
    rejected: int
    failed: int
    fewest_looked: int  # of any camera
    most_looked: int
    latency_p50_ms: float  # frame there to looked at
    latency_p99_ms: float
    cores: float  # CPU time a second
    decode_cpu_ms: float  # of a camera's thread, for each frame that came
    look_cpu_ms: float  # of a worker, for each frame that was looked at
    rss_mb: float


class Raw(msgspec.Struct, frozen=True):
    """Bare runs of the graph."""

    per_s: float
    cpu_ms: float  # of each


class VisionFigures(msgspec.Struct, frozen=True):
    """Everything. `share_of_raw` compares rounds that follow one another; `share_by_cpu` is what the CPU times of the same rounds allow on
    cores that have nothing else to do: (workers - decoding) / look, of workers / raw.
    """

    model: str
    version: str
    variant: str
    workers: int
    raw: list[Raw]
    overload: list[Run]
    share_of_raw: list[float]
    share_by_cpu: list[float]
    calm: Run
    alone: Run
    cameras_per_core: float
    memory_a_camera_mb: float


def run_raw(model: str, detector: Detector, workers: int, seconds: float) -> Raw:
    """Bare `session.run` of the same graph and input size in as many threads, nothing else."""
    path = find(model)
    settings = detector.settings
    file = settings.int8.file if detector.variant == "int8" and settings.int8 else settings.file
    session = Session((path.parent / file).read_bytes(), file)
    feeder = Feeder(session, settings, file)
    picture = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    fitted = detector.fit(picture).image
    feeds = feeder.feeds(fitted, None if settings.reference is None else fitted)
    session.run(feeds)
    counts, spent_s = [0] * workers, [0.0] * workers
    end_s = time.perf_counter() + seconds

    def loop(number: int) -> None:
        while time.perf_counter() < end_s:
            session.run(feeds)
            counts[number] += 1
        spent_s[number] = time.thread_time()

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(workers)]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, count = time.perf_counter() - began_s, sum(counts)
    return Raw(round(count / took_s, 1), round(1000 * sum(spent_s) / count, 3))


def write_clip(file: Path, seed: int) -> None:
    """A still landscape with a sensor's noise, in which something grows; MPEG-4 part 2, which OpenCV itself encodes."""
    width, height = SIZE
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (height // 20, width // 20, 3), dtype=np.uint8)
    still = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.int16)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), CLIP_FPS, SIZE)
    for number in range(CLIP_FPS * CLIP_S):
        noise = rng.integers(-3, 4, (height, width, 1), dtype=np.int16)
        picture = np.asarray(np.clip(still + noise, 0, 255), np.uint8)
        cv2.circle(picture, (width // 2, height // 2), 5 + number // 8, (200, 200, 200), -1)
        writer.write(picture)
    writer.release()
    if frames_in(file) < CLIP_FPS * CLIP_S:
        raise FolderError(
            f"{file} is not whole: {file.parent} may be full", hint="make room there, or set TMPDIR"
        )


async def run(
    clips: list[Path], detector: Detector, count: int, rates: Rates, workers: int, seconds: float
) -> Run:
    """`count` cameras at 30 frames/s each, paced like live ones."""
    clock = SystemClock()
    cameras = [
        Camera(
            f"camera-{i}",
            opener(SourceOptions(source=str(clips[i % len(clips)]), repeat=True), clock),
            rates,
        )
        for i in range(count)
    ]
    latencies: list[float] = []
    look = ModelLook(detector, lambda _: Attention.IDLE)
    async with Pipeline(cameras, look, clock, workers=workers) as pipeline:

        async def take() -> None:
            while (result := await pipeline.result()) is not None:
                latencies.append(result.latency_ms)

        task = asyncio.create_task(take(), name="bench-take")
        await asyncio.sleep(min(WARM_UP_S, seconds))
        before, cpu_s, began_s = pipeline.health(), time.process_time(), time.perf_counter()
        latencies.clear()
        decode_s, look_s = pipeline.cpu_s()
        await asyncio.sleep(seconds)
        after, took_s = pipeline.health(), time.perf_counter() - began_s
        decode_s, look_s = (
            b - a for a, b in zip((decode_s, look_s), pipeline.cpu_s(), strict=True)
        )
        cores, rss_mb = (time.process_time() - cpu_s) / took_s, _rss_mb()
        task.cancel()
    looked = [a.looked - b.looked for a, b in zip(after, before, strict=True)]
    decoded = sum(a.frames - b.frames for a, b in zip(after, before, strict=True))
    found = sorted(latencies) or [0.0]
    return Run(
        cameras=count,
        seconds=round(took_s, 2),
        decoded_per_s=round(decoded / took_s, 1),
        looked_per_s=round(sum(looked) / took_s, 1),
        passed_over=sum(a.passed_over - b.passed_over for a, b in zip(after, before, strict=True)),
        rejected=sum(sum(h.rejected.values()) for h in after),
        failed=sum(h.failed_looks for h in after) + pipeline.crashes,
        fewest_looked=min(looked),
        most_looked=max(looked),
        latency_p50_ms=round(found[len(found) // 2], 1),
        latency_p99_ms=round(found[min(len(found) - 1, int(0.99 * len(found)))], 1),
        cores=round(cores, 3),
        decode_cpu_ms=round(1000 * decode_s / max(1, decoded), 3),
        look_cpu_ms=round(1000 * look_s / max(1, sum(looked)), 3),
        rss_mb=round(rss_mb, 1),
    )  # fmt: skip


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(
    model: str,
    detector: Detector,
    cameras: int,
    seconds: float,
    rounds: int,
    workers: int,
    folder: Path,
) -> VisionFigures:
    """All of it: raw and pipeline in turns, then cameras that are looked at once a second."""
    clips = [folder / f"{i}.mp4" for i in range(CLIPS)]
    for seed, clip in enumerate(clips):
        write_clip(clip, seed)
    alone = asyncio.run(run(clips, detector, 1, ONE, workers, seconds))
    calm = asyncio.run(run(clips, detector, cameras, ONE, workers, seconds))
    raws, overload = [run_raw(model, detector, workers, seconds)], []
    for _ in range(rounds):
        overload.append(asyncio.run(run(clips, detector, cameras, ALL, workers, seconds)))
        raws.append(run_raw(model, detector, workers, seconds))
    beside = [Raw((a.per_s + b.per_s) / 2, (a.cpu_ms + b.cpu_ms) / 2) for a, b in pairwise(raws)]
    more = max(1, cameras - 1)
    return VisionFigures(
        model=detector.name,
        version=detector.version,
        variant=detector.variant,
        workers=workers,
        raw=raws,
        overload=overload,
        share_of_raw=[
            round(o.looked_per_s / r.per_s, 3) for o, r in zip(overload, beside, strict=True)
        ],
        share_by_cpu=[_by_cpu(o, r, workers) for o, r in zip(overload, beside, strict=True)],
        calm=calm,
        alone=alone,
        cameras_per_core=round(cameras / calm.cores, 1) if calm.cores else 0.0,
        memory_a_camera_mb=round((calm.rss_mb - alone.rss_mb) / more, 2),
    )


def _by_cpu(found: Run, raw: Raw, workers: int) -> float:
    decoding = found.decoded_per_s * found.decode_cpu_ms / 1000
    return round(max(0.0, workers - decoding) / workers * raw.cpu_ms / found.look_cpu_ms, 3)


def main() -> None:
    """The child of `tocsin bench vision`."""
    parser = argparse.ArgumentParser(prog="python -m edge.vision.bench", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    try:
        detector = load_detector(given.model)
    except ModelError as exc:
        _print({"refused": {"reason": exc.reason, "message": exc.message, "hint": exc.hint}})
        return
    except ConfigError as exc:
        _print({"problems": [problem.as_dict() for problem in exc.problems]})
        return
    _print({})
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        try:
            found = measure(
                given.model,
                detector,
                given.cameras,
                given.seconds,
                given.rounds,
                given.workers,
                Path(name),
            )
        except TocsinError as exc:
            sys.exit(f"{exc.message} ({exc.hint})" if exc.hint else exc.message)
    _print(found)


def _print(found: object) -> None:
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
