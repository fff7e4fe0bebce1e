"""Where a camera that turns looked, from what it told now and then. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edge.vision.pose import Mount, Pose, Turned

_SAME_DEG, _SAME_ZOOM = 0.25, 0.02  # heads tell tenths, and the last one flickers


class Told(msgspec.Struct, frozen=True):
    """What it told at one moment."""

    ts_ns: int
    turned: Turned
    moving: bool


def told(before: Told | None, ts_ns: int, turned: Turned, moving: bool | None) -> Told:
    """`moving` None: the camera does not say so; then it moves unless it told the same before."""
    if moving is None:
        moving = before is None or not _same(before.turned, turned)
    return Told(ts_ns, turned, moving)


def _same(one: Turned, two: Turned) -> bool:
    aside = abs((one.pan_deg - two.pan_deg + 180) % 360 - 180)
    up = abs(one.tilt_deg - two.tilt_deg)
    return aside <= _SAME_DEG and up <= _SAME_DEG and abs(one.zoom / two.zoom - 1) <= _SAME_ZOOM


def pose_at(
    course: Sequence[Told], ts_ns: int, mount: Mount, *, known_s: float, moved: bool = False
) -> Pose | None:
    """Of a frame, from what was told nearest to it; None: nothing was within `known_s`. `moved`: the picture shows that it turned."""
    if not course:
        return None
    before = next((t for t in reversed(course) if t.ts_ns <= ts_ns), None)
    after = next((t for t in course if t.ts_ns > ts_ns), None)
    around = [t for t in (before, after) if t is not None]
    nearest = min(around, key=lambda t: abs(t.ts_ns - ts_ns))
    age_s = abs(nearest.ts_ns - ts_ns) / 1e9
    if age_s > known_s:
        return None
    moving = moved or any(t.moving for t in around)
    return mount.pose(nearest.turned, age_s=age_s, moving=moving)
