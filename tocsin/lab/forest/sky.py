"""A day over a hill without any fire: clouds, their shadows, haze, dusk and dawn, wind in the trees. Used to count false alarms; training never imports it."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240
Layer = NDArray[np.float32]
Picture = NDArray[np.uint8]


class Sky:
    """One camera's day; the same `seed` gives the same hill, the same `weather` besides the same day. `wide`: how much wider clouds are than in a picture's own proportions."""

    def __init__(self, seed: int, *, wide: float = 1.0, weather: int = 0) -> None:
        rng = np.random.default_rng([seed, 0x5EED])
        self._seed, self._seen = seed, round(WIDTH / wide)
        self._clouds = fractal(rng, 1024, 96)
        self._ground = fractal(rng, WIDTH, HEIGHT)
        self._rough = rng.normal(0, 9, (HEIGHT, WIDTH)).astype(np.float32)
        ridge = cv2.resize(rng.normal(0, 14, (1, 9)).astype(np.float32), (WIDTH, 1))
        self._ridge = 105 + np.asarray(ridge, np.float32)[0]
        if weather:
            rng = np.random.default_rng([seed, 0x5EED, weather])
            self._clouds = fractal(rng, 1024, 96)
        self._cover, self._speed = float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.4, 2.5))
        self._haze = float(rng.uniform(0.1, 0.7))

    def frame(self, hour: float) -> Picture:
        """(240, 320, 3) uint8 BGR at an hour of the day, 0 to 24 and on."""
        day = max(0.0, math.sin(math.pi * (hour % 24 - 6) / 12))  # sun up from 6 to 18
        dusk = math.exp(-((abs(hour % 24 - 12) - 6) ** 2) / 0.6)
        rng = np.random.default_rng([self._seed, round(hour * 3600)])
        shift = int(hour * 60 * self._speed) % 700
        clouds = np.clip((self._clouds[:, shift : shift + self._seen] - 1 + self._cover) * 4, 0, 1)
        blue = np.array([200, 150, 100], np.float32)
        glow = np.array([70, 120, 225], np.float32)
        sky = (blue * (1 - dusk) + glow * dusk) * (0.08 + 0.92 * max(day, 0.7 * dusk))
        rows = np.linspace(0.8, 1.15, 96, dtype=np.float32)[:, None, None]
        white = np.float32(235) * (0.08 + 0.92 * day) + glow * np.float32(0.3 * dusk)
        above = sky * rows * (1 - clouds[..., None]) + white * clouds[..., None]
        above = cv2.resize(above.astype(np.float32), (WIDTH, HEIGHT))
        shade = 1 - 0.35 * cv2.resize(clouds[::-1].astype(np.float32), (WIDTH, HEIGHT))
        swaying = self._rough + rng.normal(0, 1.5, self._rough.shape)
        level = (60 + 90 * self._ground) * shade + swaying
        light = 0.06 + 0.94 * day + 0.2 * dusk
        ground = level[..., None] * np.array([0.55, 0.85, 0.8], np.float32) * light
        near = np.clip((np.arange(HEIGHT)[:, None] - self._ridge) / 110, 0, 1)[..., None]
        veil = self._haze * (1 - near) * (0.6 + 0.4 * math.sin(hour / 3 + self._seed))
        ground = ground * (1 - veil) + sky.mean() * veil
        edge = (np.arange(HEIGHT)[:, None] > self._ridge)[..., None]
        noise = rng.normal(0, 1.5 + 2.5 * (day < 0.05), (HEIGHT, WIDTH, 1))
        picture = np.where(edge, ground, above) + noise
        return np.asarray(np.clip(picture, 0, 255), np.uint8)


def fractal(rng: np.random.Generator, width: int, height: int) -> Layer:
    """0..1, with structure at every size."""
    out = np.zeros((height, width), np.float32)
    for octave in range(2, 8):
        cells = rng.normal(0, 1, (2 + height // 2 ** (9 - octave), 2 + width // 2 ** (9 - octave)))
        large = cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        out += np.asarray(large, np.float32) / 1.7**octave
    return np.asarray((out - out.min()) / (out.max() - out.min()), np.float32)
