"""Observations for tests: a camera of 640 x 480 that gives a frame a minute."""

from __future__ import annotations

from edge.vision.observation import Box, Observation, Quality

MINUTE_NS = 60_000_000_000
START_NS = 1_790_000_000_000_000_000


def smoke(score: float, x: float = 300, y: float = 200, size: float = 40) -> Box:
    """One box."""
    return Box("smoke", score, x, y, size, size)


def observed(
    index: int,
    *boxes: Box,
    camera: str = "cam-1",
    gap_s: float = 60.0,
    quality: Quality = Quality.GOOD,
    moved: bool = False,
    spectrum: str = "visible",
    cues: dict[str, float] | None = None,
) -> Observation:
    """The frame `index`."""
    scores = {"smoke": 0.0}
    for box in boxes:
        scores[box.label] = max(scores.get(box.label, 0.0), box.score)
    ts_ns = START_NS + int(index * gap_s * 1e9)
    return Observation(
        camera,
        index,
        ts_ns,
        640,
        480,
        scores,
        boxes,
        quality=quality,
        moved=moved,
        spectrum=spectrum,  # type: ignore[arg-type]
        cues=cues or {},
    )
