"""What a camera saw before: the median of five of its frames, brought to one brightness. Looks back only."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.opencv import cv2

FRAMES = 5
_SAME_GAIN, _SAME_LEVEL = 0.005, 0.5  # closer than that no level changes by one


class Reference:
    """Of one camera. Ask `picture` before `add`ing the frame that it is for; `clear` when the camera moved."""

    def __init__(self, back: tuple[int, int] = (4, 12), every_s: float = 0.0) -> None:
        """Frames from `back[0]` to `back[1]` frames ago; only frames at least `every_s` apart count."""
        self._every_ns = int(every_s * 1e9)
        self._steps = sorted({round(s) for s in np.linspace(*back, FRAMES)})
        self._kept: deque[Levelled] = deque(maxlen=back[1])
        self._last_ns: int | None = None
        self._made: Picture | None = None
        self._is_made = False

    def picture(self) -> Picture | None:
        """(H, W, 3) like the frames added; None: nothing was seen that long ago."""
        if not self._is_made:
            chosen = [self._kept[-step] for step in self._steps if step <= len(self._kept)]
            self._made, self._is_made = (_median(chosen) if chosen else None), True
        return self._made

    def add(self, picture: Picture, ts_ns: int) -> None:
        """A frame of the camera; one of another size than before clears what was kept."""
        if self._kept and self._kept[-1].picture.shape != picture.shape:
            self.clear()
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < self._every_ns:
            return
        self._last_ns = ts_ns
        self._kept.append(levelled(picture))
        self._is_made = False

    def clear(self) -> None:
        """Forgets everything: the camera looks elsewhere."""
        self._kept.clear()
        self._last_ns, self._made, self._is_made = None, None, False


@dataclass(frozen=True, slots=True, eq=False)
class Levelled:
    """A picture with mean and spread of its grey levels."""

    picture: Picture
    mean: float
    spread: float


def levelled(picture: Picture) -> Levelled:
    """From some 64 rows' worth of pixels."""
    step = max(1, picture.shape[0] // 64)
    grey = cv2.cvtColor(np.ascontiguousarray(picture[::step, ::step]), cv2.COLOR_BGR2GRAY)
    mean, spread = cv2.meanStdDev(grey)
    return Levelled(picture, float(mean[0, 0]), float(spread[0, 0]))


def median(pictures: list[Picture]) -> Picture:
    """Of up to five pictures, the nearest first, each with its levels brought to mean and spread of the nearest one.

    Of two only the nearest counts, of four the nearest three.
    """
    return _median([levelled(picture) for picture in pictures])


def _median(pictures: list[Levelled]) -> Picture:
    first = pictures[0]
    if len(pictures) < 3:
        return first.picture
    alike = [first.picture, *(_matched(p, first) for p in pictures[1:])]
    return _of_five(*alike[:5]) if len(alike) >= 5 else _of_three(*alike[:3])


def _matched(picture: Levelled, wanted: Levelled) -> Picture:
    gain = min(max(wanted.spread / picture.spread, 0.5), 2.0) if picture.spread > 0 else 1.0
    if abs(gain - 1) < _SAME_GAIN and abs(wanted.mean - picture.mean) < _SAME_LEVEL:
        return picture.picture
    table = (np.arange(256, dtype=np.float32) - picture.mean) * gain + wanted.mean
    levels = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture.picture, levels), np.uint8)


def _of_three(a: Picture, b: Picture, c: Picture) -> Picture:
    return _greater(_less(a, b), _less(_greater(a, b), c))


def _of_five(a: Picture, b: Picture, c: Picture, d: Picture, e: Picture) -> Picture:
    """Least and greatest cannot be the median: of the four first, drop one of each kind."""
    low = _greater(_less(a, b), _less(c, d))
    high = _less(_greater(a, b), _greater(c, d))
    return _of_three(low, high, e)


def _less(a: Picture, b: Picture) -> NDArray[np.uint8]:
    return np.minimum(a, b)


def _greater(a: Picture, b: Picture) -> NDArray[np.uint8]:
    return np.maximum(a, b)
