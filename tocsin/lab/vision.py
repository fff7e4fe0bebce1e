"""`tocsin bench vision`: what share of bare inference the pipeline reaches under overload, and what cameras cost when all is calm."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tocsin.errors import ConfigError, ConfigProblem, MissingExtraError, ModelError, ModelReason
from tocsin.lab.children import Children, LabError

TARGET_SHARE = 0.85
LOAD_S = 120.0


class VisionRun(msgspec.Struct, frozen=True):
    """One measurement of the pipeline; `latency` is from the frame being there to its being looked at."""

    cameras: int
    seconds: float
    decoded_per_s: float
    looked_per_s: float
    passed_over: int
    rejected: int
    failed: int
    fewest_looked: int
    most_looked: int
    latency_p50_ms: float
    latency_p99_ms: float
    cores: float
    decode_cpu_ms: float
    look_cpu_ms: float
    rss_mb: float


class RawRun(msgspec.Struct, frozen=True):
    """Bare `session.run` in as many threads."""

    per_s: float
    cpu_ms: float


class VisionResult(msgspec.Struct, frozen=True):
    """What `tocsin bench vision --json` prints. `share_of_raw` is the median of the rounds, each beside the raw loops before and after it.

    `share_by_cpu` is what the CPU times of the same rounds allow on cores that do nothing else: where others are at work it says more.
    """

    model: str
    version: str
    variant: str
    share_of_raw: float
    share_by_cpu: float
    target_share: float
    within: bool
    raw: list[RawRun]
    overload: list[VisionRun]
    shares_of_raw: list[float]
    shares_by_cpu: list[float]
    calm: VisionRun
    alone: VisionRun
    cameras_per_core: float
    memory_a_camera_mb: float
    settings: dict[str, Any]


def run_vision(
    *, model: str, cameras: int, seconds: float, rounds: int, say: Callable[[str], None]
) -> VisionResult:
    """One process that measures.

    Raises:
        ModelError: the model cannot be used; nothing was measured.
        ConfigError: its model.toml is wrong; nothing was measured.
        LabError: it failed.
        MissingExtraError: the extra `vision` is not installed.
    """
    for module in ("cv2", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("vision", module)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name, Children(Path(name)) as children:  # fmt: skip
        child = children.start(
            "vision", "edge.vision.bench", "--model", model, "--cameras", str(cameras),
            "--seconds", str(seconds), "--rounds", str(rounds),
        )  # fmt: skip
        _refuse(child.ready(LOAD_S))
        say(f"{cameras} cameras of 360 lines, 30 frames/s, {rounds} rounds of {seconds:g} s beside the bare graph")  # fmt: skip
        found = child.read_rest(timeout_s=(2 * rounds + 3) * (seconds + 10.0) + 60.0)
        if not found:
            raise LabError("the measuring process failed", hint=child.tail())
    raw: dict[str, Any] = msgspec.json.decode(found)
    by_wall, by_cpu = raw.pop("share_of_raw"), raw.pop("share_by_cpu")
    workers = raw.pop("workers")
    share = _median(by_wall)
    return msgspec.convert(
        {
            **raw, "share_of_raw": share, "share_by_cpu": _median(by_cpu), "shares_of_raw": by_wall,
            "shares_by_cpu": by_cpu, "target_share": TARGET_SHARE, "within": share >= TARGET_SHARE,
            "settings": {
                "picture": "640x360", "fps": 30, "clip": "MPEG-4 part 2", "workers": workers,
                "cores": os.cpu_count(), "threads_a_session": 1,
            },
        },
        VisionResult,
    )  # fmt: skip


def _refuse(told: dict[str, Any]) -> None:
    """Raise what the child could not load its model for."""
    if "problems" in told:
        raise ConfigError([ConfigProblem(**problem) for problem in told["problems"]])
    if "refused" in told:
        refused = told["refused"]
        reason = ModelReason(refused["reason"])
        raise ModelError(reason, refused["message"], hint=refused["hint"])


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def vision_summary(result: VisionResult) -> str:
    """The result for people."""
    from tocsin.cli.output import table

    rows = [
        [
            what, str(r.cameras), f"{r.decoded_per_s:g}", f"{r.looked_per_s:g}", f"{r.latency_p50_ms:g} / {r.latency_p99_ms:g}",
            f"{r.decode_cpu_ms:g}", f"{r.look_cpu_ms:g}", f"{r.cores:g}", f"{r.rss_mb:g}",
        ]
        for what, r in (
            *((f"overload {i + 1}", r) for i, r in enumerate(result.overload)),
            ("1 frame/s each", result.calm),
            ("one camera", result.alone),
        )
    ]  # fmt: skip
    raw = ", ".join(f"{r.per_s:g}/s at {r.cpu_ms:g} ms CPU" for r in result.raw)
    verdict = "reaches" if result.within else "does NOT reach"
    return "\n".join(
        [
            f"model {result.model} {result.version} ({result.variant}); bare graph: {raw}",
            table(
                ["run", "cameras", "decoded/s", "looked/s", "p50 / p99 ms", "decode ms CPU", "look ms CPU", "cores", "MB"],
                rows,
            ),
            f"under overload the pipeline does {result.share_of_raw:.1%} of the bare graph ({verdict} {result.target_share:.0%}); by CPU time "
            f"{result.share_by_cpu:.1%}; {result.cameras_per_core:g} cameras a core at 1 frame/s, {result.memory_a_camera_mb:g} MB a camera",
            "settings: " + ", ".join(f"{k} {v}" for k, v in result.settings.items()),
        ]
    )  # fmt: skip
