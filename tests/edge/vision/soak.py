"""Eight RTSP cameras that fail all the time, and what becomes of memory, threads and files: `python -m tests.edge.vision.soak --hours 24`.

One line of JSON a minute, then the verdict; exit status 1 when it is bad. Faults come from a seed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec

from edge.vision.nn.load import load_detector
from edge.vision.pipeline.health import CameraHealth, CameraState
from edge.vision.pipeline.looking import ModelLook
from edge.vision.pipeline.pace import Rates
from edge.vision.pipeline.pipeline import Pipeline
from tests.edge.vision.cameras import Server, rtsp_camera, rtsp_server
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.sdk import SystemClock

CAMERAS = 8
STEADY = 2  # of them: never touched, must never be away
MODES = ("stall", "drop", "refuse", "mute", "missing", "corrupt", "flap", "resize")
GROWTH = 1.02  # of memory, from the second third to the last
RATES = Rates(idle_fps=5.0)


class Look(msgspec.Struct, frozen=True):
    """One look at the process."""

    at_s: float
    rss_mb: float
    threads: int
    files: int
    looked: int
    reconnects: int


class Verdict(msgspec.Struct, frozen=True):
    """The end."""

    seconds: float
    faults: int
    looked: int
    reconnects: int
    steady_reconnects: int
    crashes: int
    all_back: bool
    rss_mb: tuple[float, float]  # medians of the second and the last third
    threads: tuple[int, int]
    files: tuple[int, int]

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        flat = self.rss_mb[1] <= self.rss_mb[0] * GROWTH
        even = self.threads[1] <= self.threads[0] and self.files[1] <= self.files[0] + 2
        return flat and even and self.all_back and not self.crashes and not self.steady_reconnects


def _look(pipeline: Pipeline, at_s: float) -> Look:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    healths = pipeline.health()
    return Look(
        round(at_s, 1), round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1), threading.active_count(),
        sum(1 for _ in Path("/proc/self/fd").iterdir()), sum(h.looked for h in healths), sum(h.reconnects for h in healths),
    )  # fmt: skip


async def _hurt(server: Server, seed: int, counted: list[int]) -> None:
    """One fault after another, each camera mended before its next one."""
    chance = random.Random(seed)
    while True:
        camera, mode = chance.randrange(STEADY, CAMERAS), chance.choice(MODES)
        await asyncio.to_thread(server.turn, mode, camera)
        counted[0] += 1
        await asyncio.sleep(chance.uniform(0.5, 6.0))
        await asyncio.to_thread(server.turn, "play", camera)


async def run_soak(seconds: float, every_s: float, seed: int = 1, out: Path | None = None) -> Verdict:  # fmt: skip
    """`every_s` is how often the process is looked at."""
    with tempfile.TemporaryDirectory() as name, rtsp_server("--cameras", str(CAMERAS)) as server:
        model = write_model(Path(name) / "m", heat_graph(), HEAT_SETTINGS)
        look = ModelLook(load_detector(model))
        cameras = [rtsp_camera(f"cam-{i}", server.url(i), rates=RATES) for i in range(CAMERAS)]
        async with Pipeline(cameras, look, SystemClock(), workers=2) as pipeline:
            tasks = [asyncio.create_task(_take(pipeline)), asyncio.create_task(_changes(pipeline))]
            faults, looks = [0], []
            hurting = asyncio.create_task(_hurt(server, seed, faults))
            began_s = time.monotonic()
            while (at_s := time.monotonic() - began_s) < seconds:
                await asyncio.sleep(min(every_s, seconds - at_s))
                looks.append(_look(pipeline, time.monotonic() - began_s))
                if out is not None:
                    with out.open("ab") as file:
                        file.write(msgspec.json.encode(looks[-1]) + b"\n")
            hurting.cancel()
            with suppress(asyncio.CancelledError):
                await hurting
            for camera in range(CAMERAS):
                await asyncio.to_thread(server.turn, "play", camera)
            healths = await _all_back(pipeline)
            for task in tasks:
                task.cancel()
    third = len(looks) // 3
    middle, last = looks[third : 2 * third], looks[2 * third :]
    return Verdict(
        seconds=round(seconds, 1),
        faults=faults[0],
        looked=sum(h.looked for h in healths),
        reconnects=sum(h.reconnects for h in healths),
        steady_reconnects=sum(h.reconnects for h in healths[:STEADY]),
        crashes=pipeline.crashes,
        all_back=all(h.state is CameraState.ONLINE for h in healths),
        rss_mb=(median(look.rss_mb for look in middle), median(look.rss_mb for look in last)),
        threads=(max(look.threads for look in middle), max(look.threads for look in last)),
        files=(max(look.files for look in middle), max(look.files for look in last)),
    )


async def _all_back(pipeline: Pipeline) -> list[CameraHealth]:
    """Once every camera is, or after a minute."""
    for _ in range(600):
        healths = pipeline.health()
        if all(h.state is CameraState.ONLINE for h in healths):
            return healths
        await asyncio.sleep(0.1)
    return pipeline.health()


async def _take(pipeline: Pipeline) -> None:
    while await pipeline.result() is not None:
        pass


async def _changes(pipeline: Pipeline) -> None:
    while await pipeline.change() is not None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("/dev/stdout"))
    given = parser.parse_args()
    verdict = asyncio.run(run_soak(given.hours * 3600, given.every, given.seed, given.out))
    sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")
    sys.exit(0 if verdict.good else 1)


if __name__ == "__main__":
    main()
