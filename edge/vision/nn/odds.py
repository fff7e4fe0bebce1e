"""Heat maps in log-odds, in which sigmoid outputs have spreads that can be compared."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.vision.opencv import cv2

Odds = NDArray[np.float32]
"""(classes, rows, columns), log-odds of a heat map."""

Cells = tuple[slice, slice]
"""Rows and columns of a heat map."""

_SPREADS = 3.0
_HOTTEST = (
    4.0  # no place is usually hotter than 0.98: a fire there is told whatever came and went before
)
_COUNTS_FROM = -1.0  # usual heat below it (0.27) takes nothing away
_AROUND = np.ones((3, 3), np.uint8)


def limit_of(mean: Odds, square: Odds) -> Odds:
    """Three spreads above the mean, and as hot as the hottest neighbour."""
    return beside(spread_over(mean, square))


def spread_over(mean: Odds, square: Odds) -> Odds:
    """Three spreads above the mean, of any shape."""
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.asarray(
        np.minimum(mean + np.float32(_SPREADS) * spread, np.float32(_HOTTEST)), np.float32
    )


def beside(high: Odds) -> Odds:
    """Each place as hot as its hottest neighbour."""
    return np.stack([np.asarray(cv2.dilate(one, _AROUND), np.float32) for one in high])


def half(odds: Odds) -> bytes:
    """In half precision, as files keep it."""
    return odds.astype(np.float16).tobytes()


def whole(data: bytes, shape: tuple[int, int, int]) -> Odds | None:
    """What `half` gave; None: it is no map of this shape."""
    if min(shape) < 1 or len(data) != 2 * math.prod(shape):
        return None
    values = np.frombuffer(data, np.float16).astype(np.float32).reshape(shape)
    return values if bool(np.isfinite(values).all()) else None


def log_odds(heat: NDArray[np.float32]) -> Odds:
    """Of 0..1, kept within +-9."""
    p = np.clip(heat, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)), np.float32)


def above(heat: NDArray[np.float32], odds: Odds, limit: Odds) -> NDArray[np.float32]:
    """Heat 0..1 of what exceeds the usual; `odds` are those of `heat`."""
    usual = limit - np.float32(_COUNTS_FROM)
    left = 0.5 * (1 + np.tanh(0.5 * (odds - usual)))
    return np.where(usual > 0, left, heat).astype(np.float32)
