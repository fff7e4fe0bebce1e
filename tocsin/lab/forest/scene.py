"""What a camera over the hill sees: a quiet day, or one on which smoke rises from a known moment on; and the same in temperatures."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.lab.forest.sky import HEIGHT, WIDTH, Picture, Sky

FOOT = (0.62, 0.60)  # of the smoke, shares of width and height
KELVIN = 0.04  # of one count of the radiometric camera
_PUFFS = 90


class Hill:
    """`fire_s`: seconds after which smoke rises; None: never. The same seed gives the same pictures."""

    def __init__(self, seed: int, fire_s: float | None, *, hour: float, hours_per_s: float) -> None:
        self._sky, self._seed = Sky(seed), seed
        self._fire_s, self._hour, self._rate = fire_s, hour, hours_per_s
        rng = np.random.default_rng([seed, 0xF12E])
        self._puffs = rng.uniform(0, 1, (_PUFFS, 4))

    def picture(self, at_s: float) -> Picture:
        """(480, 640, 3) uint8 BGR, `at_s` seconds after the beginning."""
        small = self._sky.frame(self._hour + at_s * self._rate)
        large = cv2.resize(small, (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
        age_s = -1.0 if self._fire_s is None else at_s - self._fire_s
        if age_s > 0:
            large = self._smoke(np.asarray(large, np.uint8), age_s)
        rng = np.random.default_rng([self._seed, round(at_s * 1000)])
        noisy = large.astype(np.float32) + rng.normal(0, 1.5, large.shape[:2])[..., None]
        return np.asarray(np.clip(noisy, 0, 255), np.uint8)

    def counts(self, at_s: float) -> NDArray[np.uint16]:
        """(120, 160) uint16, 0.04 K a count: the same hill for a radiometric camera."""
        rng = np.random.default_rng([self._seed, 1 + round(at_s * 1000)])
        rows = np.linspace(9.0, 17.0, 120)[:, None] * np.ones((1, 160))
        degrees = rows + rng.normal(0, 0.08, rows.shape)
        age_s = -1.0 if self._fire_s is None else at_s - self._fire_s
        if age_s > 0:
            side = min(14, 2 + int(age_s / 4))
            x, y = round(FOOT[0] * 160), round(FOOT[1] * 120)
            degrees[y - side : y, x : x + side] = 110 + 60 * min(1.0, age_s / 20)
        return np.round((degrees + 273.15) / KELVIN).astype(np.uint16)

    def _smoke(self, picture: Picture, age_s: float) -> Picture:
        """Puffs that rise, spread and lean with the wind; the column grows for two minutes."""
        height, width = picture.shape[:2]
        veil = np.zeros((height, width), np.float32)
        reach = min(1.0, age_s / 90)
        for born, drift, size, dense in self._puffs:
            phase = (born + age_s / 45) % 1.0
            if phase > reach:
                continue
            rise = phase * 0.42 * height
            x = FOOT[0] * width + phase**1.4 * 0.16 * width + (drift - 0.5) * 34 * phase
            y = FOOT[1] * height - rise
            radius = 5 + 34 * phase * (0.6 + size)
            alpha = (0.30 + 0.3 * dense) * (1 - phase) ** 0.6
            _puff(veil, x, y, radius, alpha)
        veil = np.clip(veil, 0, 0.85)[..., None]
        tone = np.array([188, 186, 184], np.float32)
        light = 0.75 + 0.25 * math.sin(age_s / 9)
        linear = (picture.astype(np.float32) / 255) ** 2.2
        grey = (tone * light / 255) ** 2.2
        return np.asarray(255 * (linear * (1 - veil) + grey * veil) ** (1 / 2.2), np.uint8)


def _puff(veil: NDArray[np.float32], x: float, y: float, radius: float, alpha: float) -> None:
    r = int(3 * radius)
    x0, x1 = max(0, int(x) - r), min(veil.shape[1], int(x) + r)
    y0, y1 = max(0, int(y) - r), min(veil.shape[0], int(y) + r)
    if x0 >= x1 or y0 >= y1:
        return
    rows, columns = np.ogrid[y0:y1, x0:x1]
    near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius * radius))
    veil[y0:y1, x0:x1] += (1 - veil[y0:y1, x0:x1]) * alpha * near.astype(np.float32)
