"""Whether a camera that was switched on again still looks at the same place, by the directions of the edges in the lower two thirds of its picture.

Directions stay in another light and weather; above are clouds and burnt-in lines of text. One part of the ground that is where it was is
enough: smoke, snow, a vehicle or a fire may hide all others. In doubt it is the same place, for the two errors do not weigh the same: a map that
is kept wrongly makes some places less keen and others raise false alarms, which people see and reject; one that is forgotten wrongly is learned
anew from the next frames, and a fire that burns just then becomes part of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.opencv import cv2

Outline = NDArray[np.float32]
"""(48, 96, 2): twice the angle of the edge at each place, as a vector the longer the clearer it is, at most 1."""

Known = dict[str, tuple[int, Outline]]
"""Frames and their mean, by spectrum."""

_WIDE, _HIGH, _ABOVE = 96, 72, 24
_CLEAR = 4.0  # an edge of so many grey levels a px counts half
_DOWN, _ACROSS = 2, 4  # parts that are compared
_SWAYS = 2  # px of 96: a mast in the wind
_LEAST = 0.3  # a part with less of edges tells nothing
SAME, OTHER = 0.6, 0.5
"""Likeness of the best part. In 14 forest cameras no frame of the same one had less than 0.60, in fog, dusk or smoke neither; 95 of 100 of another one had less than 0.52."""
_PARTS = 5  # that have edges now: fewer tell nothing
_APART_NS, _LEARN_NS = 10_000_000_000, 60_000_000_000
_FRAMES, _TIMES, _TRIES = 3, 3, 60
_MOST_FRAMES = 1000  # older ones count less and less


def outline(picture: Picture) -> Outline:
    """Of one picture."""
    way = cv2.INTER_AREA if picture.shape[1] >= 4 * _WIDE else cv2.INTER_LINEAR
    twice = cv2.resize(picture, (2 * _WIDE, 2 * _HIGH), interpolation=way)
    grey = cv2.cvtColor(twice, cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(grey, (_WIDE, _HIGH), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (3, 3), 0)
    dx, dy = (cv2.Sobel(small, cv2.CV_32F, *way, scale=0.125) for way in ((1, 0), (0, 1)))
    clear = dx * dx + dy * dy + np.float32(_CLEAR * _CLEAR / 16)
    both = np.stack([(dx * dx - dy * dy) / clear, 2 * dx * dy / clear], axis=2)
    return np.asarray(both[_ABOVE:], np.float32)


def likeness(before: Outline, now: Outline) -> list[float]:
    """Of each part that has edges in both, -1..1, where it fits best within what a mast sways."""
    found = []
    for old, new in zip(_parts(before), _parts(now), strict=True):
        if min(_edges(old), _edges(new)) > _LEAST:
            inner = np.ascontiguousarray(old[_SWAYS:-_SWAYS, _SWAYS:-_SWAYS])
            fits = cv2.matchTemplate(np.ascontiguousarray(new), inner, cv2.TM_CCOEFF_NORMED)
            best = float(fits.max())
            found.append(min(max(best, -1.0), 1.0) if np.isfinite(best) else 0.0)
    return found


def same_place(likenesses: Sequence[float]) -> bool | None:
    """By `likeness`; None: it cannot be told."""
    best = max(likenesses, default=0.0)
    if best >= SAME:
        return True
    return False if len(likenesses) >= _PARTS and best < OTHER else None


def _parts(whole: Outline) -> list[Outline]:
    return [part for row in np.split(whole, _DOWN) for part in np.split(row, _ACROSS, axis=1)]


def _edges(part: Outline) -> float:
    return float(np.sqrt((part * part).sum(axis=2).mean()))


class Place:
    """Of one camera, by spectrum. One thread at a time, but `packed`."""

    def __init__(self) -> None:
        self._known: Known = {}
        self._before: dict[str, Outline] = {}  # of the last run, until one was compared
        self._newest: deque[Outline] = deque(maxlen=_FRAMES)
        self._last_ns: int | None = None
        self._spectrum = ""
        self._others = self._tries = 0

    def elsewhere(self, picture: Picture, spectrum: str, ts_ns: int, *, learn: bool) -> bool:
        """Whether the camera no longer looks where it did in the last run; asked with each frame, told once. `learn`: nothing burns as far as is known."""
        asked = spectrum in self._before
        apart_ns = _APART_NS if asked else _LEARN_NS
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < apart_ns:
            return False
        self._last_ns = ts_ns
        now = outline(picture)
        if asked and self._compared(now, spectrum) is False:
            return True
        if learn:
            self._learn(now, spectrum)
        return False

    def _compared(self, now: Outline, spectrum: str) -> bool | None:
        if spectrum != self._spectrum:
            self._newest.clear()
            self._spectrum, self._others = spectrum, 0
        self._newest.append(now)
        if len(self._newest) < _FRAMES:
            return None
        mean = np.asarray(np.mean(self._newest, axis=0), np.float32)
        same = same_place(likeness(self._before[spectrum], mean))
        self._others = self._others + 1 if same is False else 0
        self._tries += 1
        if self._others >= _TIMES:
            self.forget()
            return False
        if same or self._tries >= _TRIES:
            self._before.clear()
            self._newest.clear()
        return same or None

    def _learn(self, now: Outline, spectrum: str) -> None:
        frames, mean = self._known.get(spectrum, (0, np.zeros_like(now)))
        frames = min(frames + 1, _MOST_FRAMES)
        self._known[spectrum] = frames, mean + (now - mean) / np.float32(frames)

    def put_aside(self) -> Known:
        """The camera moved: what was known, should it come back."""
        known = dict(self._known)
        self.forget()
        return known

    def take_back(self, known: Known) -> None:
        """It is where it was."""
        self.forget()
        self._known = dict(known)

    def forget(self) -> None:
        """The camera looks elsewhere."""
        self._known.clear()
        self._before.clear()
        self._newest.clear()
        self._others = self._tries = 0

    def packed(self, spectrum: str, aside: Known | None = None) -> bytes:
        """To be kept over a restart, of what was put aside where it is given: hundredths and a little more, 9 KiB; b"": nothing is known."""
        known = (self._known if aside is None else aside).get(spectrum)
        if known is None:
            return b""
        return np.round(known[1] * 127).astype(np.int8).tobytes()

    def unpack(self, spectrum: str, packed: bytes) -> None:
        """The last run looked there; what does not have its size is left aside."""
        if len(packed) == (_HIGH - _ABOVE) * _WIDE * 2:
            levels = np.frombuffer(packed, np.int8).astype(np.float32) / np.float32(127)
            before = levels.reshape(_HIGH - _ABOVE, _WIDE, 2)
            self._before[spectrum] = before
            self._known[spectrum] = _FRAMES, before
