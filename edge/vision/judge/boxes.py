"""Boxes beside boxes and polygons. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edge.vision.judge.settings import Mask
from edge.vision.observation import Box

_ACROSS = 6  # points a side of a box that are looked up in a polygon
MASKED_SHARE = 0.5


def grown(box: Box, share: float) -> Box:
    """Wider and higher by `share`, about its middle."""
    dx, dy = box.width * share / 2, box.height * share / 2
    return Box(
        box.label, box.score, box.x - dx, box.y - dy, box.width + 2 * dx, box.height + 2 * dy
    )


def overlap(one: Box, two: Box) -> float:
    """Their common area, px2; that of two boxes that touch is 0."""
    across = min(one.x + one.width, two.x + two.width) - max(one.x, two.x)
    if across <= 0:
        return 0.0
    down = min(one.y + one.height, two.y + two.height) - max(one.y, two.y)
    return across * down if down > 0 else 0.0


def union(one: Box, two: Box) -> Box:
    """The smallest box around both; label of the first, the higher score."""
    x, y = min(one.x, two.x), min(one.y, two.y)
    right = max(one.x + one.width, two.x + two.width)
    bottom = max(one.y + one.height, two.y + two.height)
    return Box(one.label, max(one.score, two.score), x, y, right - x, bottom - y)


def masked(box: Box, masks: Sequence[Mask], width: int, height: int) -> bool:
    """Whether masks together cover half of it or more."""
    mine = [m for m in masks if not m.labels or box.label in m.labels]
    if not mine:
        return False
    hidden = 0
    for i in range(_ACROSS):
        for j in range(_ACROSS):
            x = (box.x + box.width * (i + 0.5) / _ACROSS) / width
            y = (box.y + box.height * (j + 0.5) / _ACROSS) / height
            hidden += any(inside(x, y, m.points) for m in mine)
    return hidden >= MASKED_SHARE * _ACROSS * _ACROSS


def inside(x: float, y: float, points: Sequence[tuple[float, float]]) -> bool:
    """Whether a point lies in a polygon (even-odd rule)."""
    found = False
    before_x, before_y = points[-1]
    for px, py in points:
        if (py > y) != (before_y > y) and x < (before_x - px) * (y - py) / (before_y - py) + px:
            found = not found
        before_x, before_y = px, py
    return found
