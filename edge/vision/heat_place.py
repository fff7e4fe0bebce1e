"""Whether a thermal camera looks where its map was learned, in the last run too: it may have been turned while it was switched off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Frame
from edge.vision.observation import Quality
from edge.vision.packed_heat import PackedHeat
from edge.vision.pipeline.checks import thermal_thumbnail
from edge.vision.pipeline.watching import LEAST_K, Thumbnail, turned, without_fire
from edge.vision.usual_heat import UsualHeat, hottest

_APART_NS, _TIMES, _TRIES = 10_000_000_000, 3, 60


def _small(celsius: NDArray[Any]) -> Thumbnail:
    return without_fire(thermal_thumbnail(celsius))


class HeatPlace:
    """Of one camera. One thread at a time, but `usual.packed`."""

    def __init__(self) -> None:
        self.usual = UsualHeat()
        self._asks = False  # whether the last run looked here
        self._others = self._tries = 0
        self._last_ns: int | None = None

    def goes_on(self, packed: PackedHeat) -> None:
        """With what was usual in the last run."""
        self.usual.unpack(packed)
        self._asks = self.usual.known

    def moved(self, frame: Frame) -> bool:
        """Asked with each frame; whether the camera looks elsewhere than it did, in the last run too, told once.

        What was usual is forgotten then, and not put aside until it is back: a pattern of the sensor itself makes any view look like any other.
        """
        away = frame.moved
        if self._asks and not away and frame.quality is Quality.GOOD and frame.celsius is not None:
            away = self._was_turned(frame.celsius, frame.ts_ns)
        if away:
            self.usual.forget()
            self._asks = False
        return away

    def _was_turned(self, celsius: NDArray[np.float32], ts_ns: int) -> bool:
        """By the map of the nearest hour of the day; where it cannot be told, it is the same place."""
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < _APART_NS:
            return False
        self._last_ns = ts_ns
        before = self.usual.mean_near(celsius.shape, ts_ns)
        if before is None:
            self._asks = False
            return False
        other = turned(_small(before), _small(hottest(celsius)), LEAST_K)
        self._others = self._others + 1 if other else 0
        self._tries += 1
        if other is False or self._tries >= _TRIES:
            self._asks = False
        return self._others >= _TIMES
