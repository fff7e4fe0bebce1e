"""What a camera saw before: the median of the three earlier frames most like the present one, in its light. Looks back only."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.opencv import cv2

FRAMES = 3
_QUALITY = 95
_WIDE, _HIGH = 32, 24  # of what likeness is judged by
_SAME_GAIN, _SAME_LEVEL = 0.005, 0.5  # closer than that no level changes by one


class Reference:
    """Of one camera. Ask `picture` before `add`ing the frame that it is for; `clear` when the camera moved."""

    def __init__(self, back: tuple[int, int] = (4, 60), every_s: float = 0.0) -> None:
        """Frames from `back[0]` to `back[1]` frames ago; only frames at least `every_s` apart count."""
        self._every_ns = int(every_s * 1e9)
        self._nearest = back[0]
        self._kept: deque[Kept] = deque(maxlen=back[1])  # the newest first
        self._last_ns: int | None = None
        self._made: Picture | None = None
        self._is_made = False

    def picture(self, like: Picture) -> Picture | None:
        """(H, W, 3) as `like`, the present frame; None: nothing was seen that long ago.

        Alike are frames in the same light: half of the places of the picture differ less. So what changes in one place, as smoke
        does, hardly counts. It is made once after each `add`.
        """
        if self._kept and self._kept[0].shape != like.shape:
            self.clear()
        if not self._is_made:
            known = list(self._kept)[self._nearest - 1 :]
            alike = _alike(known, _look_of(like))
            if len(alike) < FRAMES:  # of two only the first counts
                alike = alike[:1]
            self._made, self._is_made = median([kept.picture() for kept in alike]), True
        return self._made

    def add(self, picture: Picture, ts_ns: int) -> None:
        """A frame of the camera; one of another size than before clears what was kept."""
        if self._kept and self._kept[0].shape != picture.shape:
            self.clear()
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < self._every_ns:
            return
        self._last_ns = ts_ns
        self._kept.appendleft(_keep(picture))
        self._is_made = False

    def clear(self) -> None:
        """Forgets everything: the camera looks elsewhere."""
        self._kept.clear()
        self._last_ns, self._made, self._is_made = None, None, False


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Mean and spread of a picture's grey levels, and itself small, of mean 0 and spread 1."""

    mean: float
    spread: float
    small: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A frame as a JPEG, since sixty of them as levels would take 35 MB a camera."""

    jpeg: NDArray[np.uint8]
    shape: tuple[int, ...]
    look: Look

    def picture(self) -> Picture:
        return np.asarray(cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR), np.uint8)


def _keep(picture: Picture) -> Kept:
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return Kept(np.asarray(jpeg, np.uint8), picture.shape, _look_of(picture))


def _look_of(picture: Picture) -> Look:
    """From some 64 rows' worth of pixels."""
    step = max(1, picture.shape[0] // 64)
    grey = cv2.cvtColor(np.ascontiguousarray(picture[::step, ::step]), cv2.COLOR_BGR2GRAY)
    mean, spread = (float(v[0, 0]) for v in cv2.meanStdDev(grey))
    small = cv2.resize(grey, (_WIDE, _HIGH), interpolation=cv2.INTER_AREA).astype(np.float32)
    return Look(mean, spread, (small - mean) / max(spread, 1.0))


def _alike(known: list[Kept], now: Look) -> list[Kept]:
    """The most like `now` first, of those as alike the newest."""
    if not known:
        return []
    each = np.stack([kept.look.small for kept in known])
    unlike = np.median(np.abs(each - now.small).reshape(len(known), -1), axis=1)
    return [known[i] for i in np.argsort(unlike, kind="stable")[:FRAMES]]


def median(pictures: list[Picture]) -> Picture | None:
    """Of three pictures, each brought to mean and spread of the first; of fewer the first, or None."""
    if len(pictures) < FRAMES:
        return pictures[0] if pictures else None
    looks = [_look_of(picture) for picture in pictures]
    second, third = (
        _matched(p, look, looks[0]) for p, look in zip(pictures[1:], looks[1:], strict=True)
    )
    return _of_three(pictures[0], second, third)


def _matched(picture: Picture, look: Look, wanted: Look) -> Picture:
    gain = min(max(wanted.spread / look.spread, 0.5), 2.0) if look.spread > 0 else 1.0
    if abs(gain - 1) < _SAME_GAIN and abs(wanted.mean - look.mean) < _SAME_LEVEL:
        return picture
    table = (np.arange(256, dtype=np.float32) - look.mean) * gain + wanted.mean
    levels = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, levels), np.uint8)


def _of_three(a: Picture, b: Picture, c: Picture) -> Picture:
    return _greater(_less(a, b), _less(_greater(a, b), c))


def _less(a: Picture, b: Picture) -> NDArray[np.uint8]:
    return np.minimum(a, b)


def _greater(a: Picture, b: Picture) -> NDArray[np.uint8]:
    return np.maximum(a, b)
