"""A gate for smoke, which changes a picture by a few levels over minutes: a gate for people and vehicles is blind to it.

It says where a camera is worth a closer look, at 0.9 ms a frame at 360p and 3.8 ms at 1080p; it raises no alarm by itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Frame, Picture
from edge.vision.observation import Box, Observation, Quality
from edge.vision.opencv import cv2

LABEL = "smoke"
_SIZE = (320, 180)
_FAST_S, _SLOW_S = 20.0, 600.0
_CHANGE = 4.0  # grey levels
_EDGES_LEFT = 0.8  # smoke veils what is behind it
_EDGES_LEAST = 1.5  # where there were fewer, nothing can be veiled: open sky
_LEAST_SHARE = 0.0008
_MOST_BOXES = 10

Layer = NDArray[np.float32]


class SlowSmoke:
    """One camera's two memories, of 20 seconds and of 10 minutes."""

    def __init__(self) -> None:
        self._fast: Layer | None = None
        self._slow: Layer | None = None
        self._last_ns = 0
        self._seen_s = 0.0
        self._spectrum = ""

    def look(self, frame: Frame) -> Observation:
        """Places that lately became paler in edges and colour and changed in level. Scores are shares of certainty of a gate, not of a model."""
        boxes: list[Box] = []
        if frame.moved or frame.spectrum != self._spectrum:
            self._fast = None
        self._spectrum = frame.spectrum
        if frame.quality is Quality.GOOD and frame.picture is not None:
            boxes = self._places(frame.picture, frame.ts_ns)
        width, height = frame.size
        return Observation(
            frame.camera,
            frame.index,
            frame.ts_ns,
            width,
            height,
            {LABEL: max((b.score for b in boxes), default=0.0)},
            tuple(boxes),
            "slow-smoke",
            "1",
            frame.spectrum,
            frame.quality,
            frame.moved,
        )

    def _places(self, picture: Picture, ts_ns: int) -> list[Box]:
        layers = _layers(picture)
        gap_s = (ts_ns - self._last_ns) / 1e9
        self._last_ns = ts_ns
        if self._fast is None or self._slow is None or gap_s <= 0:
            self._fast, self._slow, self._seen_s = layers, layers.copy(), 0.0
            return []
        self._seen_s += gap_s
        fast, slow = self._fast, self._slow
        fast += np.float32(1 - math.exp(-gap_s / _FAST_S)) * (layers - fast)
        # Until it is as old as it may become, the slow one is the mean of all it saw.
        slow += np.float32(max(1 - math.exp(-gap_s / _SLOW_S), min(1.0, gap_s / self._seen_s / 2))) * (layers - slow)  # fmt: skip
        if self._seen_s < 3 * _FAST_S:
            return []
        veiled = _veiled(fast, slow)
        if not veiled.any():
            return []
        scale = picture.shape[1] / _SIZE[0], picture.shape[0] / _SIZE[1]
        return _boxes(veiled, np.abs(fast[0] - slow[0]), scale)


def _layers(picture: Picture) -> Layer:
    """(3, 180, 320): level, edges, colour."""
    small = cv2.resize(picture, _SIZE, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    edges = cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (9, 9))
    blue, green, red = cv2.split(small)  # numpy is slow along an axis as short as that of colours
    high, low = cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red)
    spread = cv2.subtract(high, low).astype(np.float32)
    return np.stack([cv2.blur(grey, (5, 5)), edges, cv2.blur(spread, (9, 9))])


def _veiled(fast: Layer, slow: Layer) -> NDArray[np.bool_]:
    veiled = (slow[1] > _EDGES_LEAST) & (fast[1] < _EDGES_LEFT * slow[1])
    veiled &= fast[2] - slow[2] < 1.0
    if not veiled.any():
        return np.asarray(veiled, np.bool_)
    change = fast[0] - slow[0]
    level = change - np.float32(np.median(change))  # the sun behind a cloud changes all of it
    return np.asarray((np.abs(level) > _CHANGE) & veiled, np.bool_)


def _boxes(mask: NDArray[np.bool_], change: Layer, scale: tuple[float, float]) -> list[Box]:
    joined = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(joined)
    boxes = []
    for number in np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:_MOST_BOXES] + 1:
        if stats[number, cv2.CC_STAT_AREA] < _LEAST_SHARE * mask.size:
            break
        x, y, width, height = (int(v) for v in stats[number, :4])
        inside = numbers[y : y + height, x : x + width] == number
        times = float(change[y : y + height, x : x + width][inside].mean()) / _CHANGE
        boxes.append(
            Box(LABEL, times / (1 + times), x * scale[0], y * scale[1], width * scale[0], height * scale[1])
        )  # fmt: skip
    return boxes
