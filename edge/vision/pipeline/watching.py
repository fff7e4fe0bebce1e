"""What of a camera must be remembered from frame to frame to know that it moved or froze."""

from __future__ import annotations

import math
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

MOVED_PX = 2.0  # of 160: on pictures a minute apart, cameras that stand still stay under 1
LOOK_EVERY_NS = 1_000_000_000
ANCHOR_NS = 60_000_000_000
_WINDOW = cv2.createHanningWindow((160, 90), cv2.CV_32F)
_QUARTER = cv2.createHanningWindow((80, 45), cv2.CV_32F)
_SURE, _VERY_SURE = (
    0.4,
    0.7,
)  # response: ground that stands still has 0.5 and more, pictures that have nothing in common nearly always less

GREY, COLOURED = 1.0, 2.0
Thumbnail = NDArray[np.float32]
Spectrum = Literal["visible", "infrared"]


class Movement:
    """Compares with a picture up to a minute old, so that a slow turn is found too."""

    def __init__(self) -> None:
        self._anchor: Thumbnail | None = None
        self._anchor_ns = 0
        self._looked_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether a second has passed; what happens in between is found then."""
        return self._anchor is None or now_ns - self._looked_ns >= LOOK_EVERY_NS

    def moved(self, thumbnail: Thumbnail, now_ns: int) -> bool:
        """Whether the camera looks elsewhere; a wholly different scene gives a shift at random, nearly always a large one."""
        self._looked_ns = now_ns
        before, age_ns = self._anchor, now_ns - self._anchor_ns
        if before is None:
            self._keep(thumbnail, now_ns)
            return False
        shift, _ = _shift(before, thumbnail, _WINDOW)
        found = shift > MOVED_PX and not _ground_stayed(before, thumbnail)
        if found or age_ns >= ANCHOR_NS:
            self._keep(thumbnail, now_ns)
        return found

    def forget(self) -> None:
        """Pictures of another size or in another light come."""
        self._anchor = None

    def _keep(self, thumbnail: Thumbnail, now_ns: int) -> None:
        self._anchor, self._anchor_ns = thumbnail, now_ns


def _shift(before: Thumbnail, now: Thumbnail, window: NDArray[Any]) -> tuple[float, float]:
    # OpenCV multiplies what it is given by the window, in place, where the size suits its transform.
    (dx, dy), response = cv2.phaseCorrelate(before.copy(), now.copy(), window)
    return math.hypot(dx, dy), response


def _ground_stayed(before: Thumbnail, now: Thumbnail) -> bool:
    """A lower quarter of the picture stayed for very sure, or it and another one for sure: what went is clouds, a vehicle, a fire. Stains and a burnt-in clock stay above."""
    stayed = []
    for y in (0, 45):
        for x in (0, 80):
            part = np.s_[y : y + 45, x : x + 80]
            shift, response = _shift(before[part], now[part], _QUARTER)
            stayed.append(response if shift <= MOVED_PX else 0.0)
    best = max(stayed[2:])
    return best >= _VERY_SURE or (best >= _SURE and sum(s >= _SURE for s in stayed) >= 2)


class Light:
    """Whether a camera sees by daylight in colours, or in its grey night mode; a picture that is neither stays what the one before was."""

    def __init__(self) -> None:
        self._spectrum: Spectrum | None = None

    def saw(self, chroma: float) -> Spectrum:
        """`chroma` of `checks`. In 14 forest cameras grey pictures have under 0.3, coloured ones over 5; dull indoor ones from 2.3 on."""
        if self._spectrum is None:
            self._spectrum = "infrared" if chroma < (GREY + COLOURED) / 2 else "visible"
        elif chroma < GREY:
            self._spectrum = "infrared"
        elif chroma > COLOURED:
            self._spectrum = "visible"
        return self._spectrum


class Stillness:
    """Notices that a camera gives the same picture again and again."""

    def __init__(self, after_s: float) -> None:
        self._after_ns = int(after_s * 1e9)
        self._print: int | None = None
        self._since_ns = 0
        self._same = 0

    def frozen(self, fingerprint: int, now_ns: int) -> bool:
        """Three times or more the same, over `after_s` or longer."""
        if fingerprint != self._print:
            self._print, self._since_ns, self._same = fingerprint, now_ns, 1
            return False
        self._same += 1
        return self._same >= 3 and now_ns - self._since_ns >= self._after_ns
