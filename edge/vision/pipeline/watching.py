"""What of a camera must be remembered from frame to frame to know that it moved or froze."""

from __future__ import annotations

import math
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.pipeline.checks import Cells, fingerprint, smeared

MOVED_PX = 2.0  # of 160: on pictures a minute apart, cameras that stand still stay under 1
LOOK_EVERY_NS = 1_000_000_000
ANCHOR_NS = 60_000_000_000
_WINDOW = cv2.createHanningWindow((160, 90), cv2.CV_32F)
_QUARTER = cv2.createHanningWindow((80, 45), cv2.CV_32F)
_SURE, _VERY_SURE = (
    0.4,
    0.7,
)  # response: ground that stands still has 0.5 and more, pictures that have nothing in common nearly always less

LEAST_LEVELS, LEAST_K = (
    2.0,
    0.05,
)  # spread of what is 5 to 20 px of 160 large; in 2,301 pictures it is over 4 levels
_OF_NOISE = 0.3  # of the spread of what is finer; noise alone has 0.15, those pictures over 0.5
GREY, COLOURED = 1.0, 2.0
HOLE_NS = 60_000_000_000  # key frames come more often
_STILL_THERE, _MOST_TEXTURE = 0.5, 2.0
_EVERY_ROW = 16
_SCENE, _OVER_K, _NO_SCENE_C = 98, 5.0, 60.0  # the last is `HeatLimits.low_c`
Thumbnail = NDArray[np.float32]
Spectrum = Literal["visible", "infrared"]


class Movement:
    """Compares with a picture up to a minute old, so that a slow turn is found too; with one before the fog or the black night, however old: in pictures in which nothing is seen nothing moves."""

    def __init__(self, least: float = LEAST_LEVELS) -> None:
        """`least`: the spread of a picture that shows anything, in its own unit."""
        self._least = least
        self._anchor: Thumbnail | None = None
        self._anchor_ns = 0
        self._looked_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether a second has passed; what happens in between is found then."""
        return self._anchor is None or now_ns - self._looked_ns >= LOOK_EVERY_NS

    def moved(self, thumbnail: Thumbnail, now_ns: int, hidden: NDArray[np.bool_] | None = None) -> bool:  # fmt: skip
        """Whether the camera looks elsewhere; a wholly different scene gives a shift at random, nearly always a large one.

        Of what is `hidden`, by a fire, the camera is taken to see what it saw before.
        """
        self._looked_ns = now_ns
        before, age_ns = self._anchor, now_ns - self._anchor_ns
        if hidden is not None and before is not None:
            thumbnail = np.where(hidden, before, thumbnail)
        if not _has_texture(thumbnail, self._least):
            return False
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


def same_view(before: Thumbnail, now: Thumbnail) -> bool:
    """Whether two pictures of a camera, however far apart in time, surely show the same; nothing is the same where nothing is seen."""
    if not (_has_texture(before, LEAST_LEVELS) and _has_texture(now, LEAST_LEVELS)):
        return False
    return _shift(before, now, _WINDOW)[0] <= MOVED_PX


def turned(before: Thumbnail, now: Thumbnail, least: float) -> bool | None:
    """Whether the second picture shows what the first did, elsewhere in it; None: it cannot be told."""
    if not (_has_texture(before, least) and _has_texture(now, least)):
        return None
    shift, response = _shift(before, now, _WINDOW)
    return shift > MOVED_PX if response >= _SURE else None


def without_fire(thumbnail: Thumbnail) -> Thumbnail:
    """Of a thermal picture, in degrees C: what is far hotter than nearly all of it is only that."""
    top_c = np.float32(np.percentile(thumbnail, _SCENE) + _OVER_K)
    return np.asarray(np.minimum(thumbnail, top_c), np.float32)


def _has_texture(thumbnail: Thumbnail, least: float) -> bool:
    """Something is seen in it: more than a sensor's noise, or the even light of fog."""
    near, far = (cv2.GaussianBlur(thumbnail, (0, 0), px) for px in (2, 8))
    spread = float((near - far).std())
    return spread >= least and spread >= _OF_NOISE * float((thumbnail - near).std())


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


class Ceiling:
    """How warm a thermal camera's scene is without a fire in it: what is hotter says nothing about where the camera looks."""

    def __init__(self) -> None:
        self._top_c: float | None = None
        self._since_ns = 0

    def over(self, thumbnail: Thumbnail, now_ns: int) -> NDArray[np.bool_]:
        """Where it is hotter. Hardly anything of a scene is; it warms up by a kelvin a minute at most."""
        top_c = float(np.percentile(thumbnail, _SCENE)) + _OVER_K
        if self._top_c is not None:
            top_c = min(top_c, self._top_c + (now_ns - self._since_ns) / 60e9)
        self._top_c, self._since_ns = top_c, now_ns
        hot = thumbnail > top_c
        if np.count_nonzero(hot) > hot.size / 2:  # it may look elsewhere, unless that burns
            hot = thumbnail > max(top_c, _NO_SCENE_C)
        return hot


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


class Holes:
    """Notices a key frame with a hole that the decoder smeared over, and that the pictures after it still show it.

    The smear is clear in the key frame alone: what later pictures add to it is noise, so they are compared with what it was.
    """

    def __init__(self) -> None:
        self._seen: Cells | None = None
        self._rows: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._since_ns: int | None = None

    def shown(self, cells: Cells, now_ns: int) -> bool:
        """`cells` of `checks`. Not for longer than a minute on end: what repeats for so long is the scene."""
        if not self._smeared(cells):
            self._seen = self._since_ns = None
            return False
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns - self._since_ns < HOLE_NS

    def _smeared(self, cells: Cells) -> bool:
        rows = smeared(cells)
        if rows.any():
            self._seen, self._rows = cells, rows
            return True
        if self._seen is None or self._seen.shape != cells.shape:
            return False
        before, now = (np.diff(c[self._rows], axis=1) for c in (self._seen, cells))
        most = _MOST_TEXTURE * np.median(np.abs(before), axis=1, keepdims=True)
        before, now = np.clip(before, -most, most), np.clip(now, -most, most)
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(now, axis=1)
        likeness = (before * now).sum(axis=1) / np.maximum(norms, 1e-6)
        return bool((likeness >= _STILL_THERE).mean() >= 0.5)


class Stillness:
    """Notices that a camera gives the same picture again and again.

    All pixels are asked only while every sixteenth row is as it was: a sensor's noise changes those too.
    """

    def __init__(self, after_s: float) -> None:
        self._after_ns = int(after_s * 1e9)
        self._rows: int | None = None
        self._whole: int | None = None
        self._since_ns = 0
        self._same = 0

    def frozen(self, raw: NDArray[Any], now_ns: int) -> bool:
        """Three times or more the same, over `after_s` or longer. Of the first only those rows are known."""
        rows = fingerprint(raw[::_EVERY_ROW])
        whole = fingerprint(raw) if rows == self._rows else None
        if whole is None or self._whole not in (None, whole):
            self._rows, self._whole, self._since_ns, self._same = rows, whole, now_ns, 1
            return False
        self._whole = whole
        self._same += 1
        return self._same >= 3 and now_ns - self._since_ns >= self._after_ns
