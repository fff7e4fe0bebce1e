"""Flames by colour and flicker, without a network: lamps, sunsets and amber beacons have the colour and not the flicker."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Frame, Picture
from edge.vision.observation import Box, Observation, Quality
from edge.vision.opencv import cv2

LABEL = "fire"
WINDOW_S = 2.0
_WIDTH = 213  # px that masks are kept at
_LEAST_SHARE = 0.0004  # of the picture
_OFTEN = 0.3  # of the window a place is flame-coloured
_BAND_HZ = (1.0, 10.0)
_LEAST_FPS = 8.0  # for less, flicker cannot be told
_LEAST_CHANGE = 0.04  # of the area, standard deviation
_TONE = 0.6  # a single tone with more of the power is a beacon
_ONLY_COLOUR = 0.2  # score of a place of which the flicker is not known, or is not a flame's
FLICKERING = 0.5  # score of a place that flickers as flames do
_MOST_BOXES = 8


class Flames:
    """One camera's. Feed it every frame; 20 a second show all of the band, under 8 nothing of it."""

    def __init__(self) -> None:
        self._masks: deque[tuple[int, NDArray[np.bool_]]] = deque(maxlen=128)

    def look(self, frame: Frame) -> Observation:
        """Flame-coloured places, scored by their flicker. The cue `flicker` is the share of change at 1 to 10 Hz; absent: cannot be told."""
        boxes: list[Box] = []
        cues: dict[str, float] = {}
        if self.add(frame):
            boxes, cues = self._places(frame.size[0] / self._masks[-1][1].shape[1])
        width, height = frame.size
        return Observation(
            frame.camera,
            frame.index,
            frame.ts_ns,
            width,
            height,
            {LABEL: max((b.score for b in boxes), default=0.0)},
            tuple(boxes),
            "flames",
            "1",
            frame.spectrum,
            frame.quality,
            frame.moved,
            cues,
        )

    def add(self, frame: Frame) -> bool:
        """Only remembers the frame; False if there is nothing in it to remember."""
        if frame.moved:
            self._masks.clear()
        if frame.quality is not Quality.GOOD or frame.picture is None:
            return False
        shrink = max(1.0, frame.picture.shape[1] / _WIDTH)
        mask = flame_coloured(_shrunk(frame.picture, shrink))
        if self._masks and self._masks[-1][1].shape != mask.shape:
            self._masks.clear()
        self._masks.append((frame.ts_ns, mask))
        while frame.ts_ns - self._masks[0][0] > WINDOW_S * 1e9:
            self._masks.popleft()
        return True

    def _places(self, shrink: float) -> tuple[list[Box], dict[str, float]]:
        stack = np.stack([m for _, m in self._masks])
        often = (stack.sum(axis=0, dtype=np.uint8) / len(stack) >= _OFTEN).astype(np.uint8)
        if not often.any():
            return [], {}
        joined = cv2.dilate(often, np.ones((3, 3), np.uint8))
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(joined)
        span_s = (self._masks[-1][0] - self._masks[0][0]) / 1e9
        fps = (len(stack) - 1) / span_s if span_s >= WINDOW_S / 2 else 0.0
        boxes, flickers = [], []
        order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:_MOST_BOXES] + 1
        for number in order:
            if stats[number, cv2.CC_STAT_AREA] < _LEAST_SHARE * often.size:
                break
            score = _ONLY_COLOUR
            if fps >= _LEAST_FPS:
                areas = (stack & (numbers == number)).sum(axis=(1, 2))
                told = flicker(areas.astype(np.float64), fps)
                flickers.append(told)
                score = max(score, 0.35 + 0.6 * told if told > 0 else 0.0)
            x, y, width, height = (float(v) * shrink for v in stats[number, :4])
            boxes.append(Box(LABEL, min(score, 1.0), x, y, width, height))
        return boxes, ({"flicker": max(flickers)} if flickers else {})


def _shrunk(picture: Picture, shrink: float) -> Picture:
    if shrink <= 1:
        return picture
    size = (round(picture.shape[1] / shrink), max(1, round(picture.shape[0] / shrink)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def flame_coloured(picture: Picture) -> NDArray[np.bool_]:
    """(H, W): R > 180, R >= G > B, and colour in it; a burnt-out core is white and counts where it touches such a place."""
    blue, green, red = cv2.split(picture)
    coloured = (red > 180) & (red >= green) & (green > blue) & (cv2.subtract(red, blue) > 60)
    if not coloured.any():
        return np.asarray(coloured, np.bool_)
    core = (red > 240) & (green > 220) & (red >= blue)
    near = cv2.dilate(coloured.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.asarray(coloured | (core & near), np.bool_)


def flicker(areas: NDArray[np.float64], fps: float) -> float:
    """Share of the change of an area that lies at 1 to 10 Hz; 0 for a steady area and for the single tone of a beacon."""
    mean = float(areas.mean())
    if mean <= 0:
        return 0.0
    times = np.arange(len(areas)) - (len(areas) - 1) / 2
    level = areas - mean - times * (float(times @ areas) / max(1.0, float(times @ times)))
    if float(level.std()) < _LEAST_CHANGE * mean:
        return 0.0
    total = float((level**2).sum()) * len(level) / 2
    step_hz = fps / len(level)
    first = max(1, int(np.ceil(_BAND_HZ[0] / step_hz)))
    last = int(min(_BAND_HZ[1], fps / 2 - step_hz) / step_hz)
    powers = [tone_power(level, number) for number in range(first, last + 1)]
    pairs = [one + two for one, two in zip([0.0, *powers], [*powers, 0.0], strict=True)]
    if (
        not powers or total <= 0 or max(pairs) > _TONE * total
    ):  # a tone lies between two whole numbers
        return 0.0
    return min(1.0, sum(powers) / total)


def tone_power(samples: NDArray[np.float64], number: int) -> float:
    """Power of `number` whole waves in the samples (Goertzel, 1958)."""
    turn = 2.0 * math.cos(2 * math.pi * number / len(samples))
    before = last = 0.0
    for sample in samples:
        before, last = last, float(sample) + turn * last - before
    return last * last + before * before - turn * last * before
