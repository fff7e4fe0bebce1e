"""Found boxes against labelled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.vision.observation import Box

IOUS = (0.1, 0.3, 0.5)


def match(
    found: Sequence[Box], truth: Sequence[Box], ignored: Sequence[Box], iou: float
) -> tuple[int, int]:
    """(hits, false boxes) of one class in one picture.

    Each found box, the best first, takes the free labelled box that it overlaps most, if by `iou` or more (intersection over
    union). One that takes none and lies by half or more in an ignored region counts neither way.
    """
    left = list(range(len(truth)))
    overlaps = ious(found, truth)
    hits = false = 0
    for i in sorted(range(len(found)), key=lambda i: -found[i].score):
        best = max(left, key=lambda j: overlaps[i, j], default=None)
        if best is not None and overlaps[i, best] >= iou:
            left.remove(best)
            hits += 1
        elif not any(inside(found[i], region) >= 0.5 for region in ignored):
            false += 1
    return hits, false


def ious(first: Sequence[Box], second: Sequence[Box]) -> NDArray[np.float64]:
    """(first, second) intersection over union."""
    out = np.zeros((len(first), len(second)))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            common = _common(a, b)
            out[i, j] = common / (a.width * a.height + b.width * b.height - common)
    return out


def inside(box: Box, region: Box) -> float:
    """Share of the box's area that lies in the region."""
    return _common(box, region) / (box.width * box.height)


def _common(a: Box, b: Box) -> float:
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0.0, across) * max(0.0, down)
