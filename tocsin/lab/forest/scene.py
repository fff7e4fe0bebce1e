"""What a camera over the hill sees: a quiet day, or one on which smoke rises from a known moment on; and the same in temperatures."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tocsin.lab.forest.sky import HEIGHT, WIDTH, Picture, Sky, fractal

FOOT = (0.62, 0.60)  # of the smoke, shares of width and height
KELVIN = 0.04  # of one count of the radiometric camera
_ROCK = np.s_[88:100, 30:48]  # rows, columns
_WIDE = 4.0  # clouds near the horizon are seen from the side
_RISE = 0.5  # of the picture's height: where the column is gone
_GROWN_S = 60.0


class Hill:
    """`fire_s`: seconds after which smoke rises; None: never. The same seed gives the same pictures."""

    def __init__(self, seed: int, fire_s: float | None, *, hour: float, hours_per_s: float) -> None:
        self._sky, self._seed = Sky(seed, wide=_WIDE), seed
        self._fire_s, self._hour, self._rate = fire_s, hour, hours_per_s
        self._smoke = Smoke(seed)

    def picture(self, at_s: float) -> Picture:
        """(480, 640, 3) uint8 BGR, `at_s` seconds after the beginning."""
        small = self._sky.frame(self._hour + at_s * self._rate)
        large = cv2.resize(small, (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
        age_s = -1.0 if self._fire_s is None else at_s - self._fire_s
        if age_s > 0:
            large = self._smoke.over(np.asarray(large, np.uint8), age_s, self._sun(at_s))
        rng = np.random.default_rng([self._seed, round(at_s * 1000)])
        noisy = large.astype(np.float32) + rng.normal(0, 1.5, large.shape[:2])[..., None]
        return np.asarray(np.clip(noisy, 0, 255), np.uint8)

    def counts(self, at_s: float) -> NDArray[np.uint16]:
        """(120, 160) uint16, 0.04 K a count: the same hill for a radiometric camera."""
        rng = np.random.default_rng([self._seed, 1 + round(at_s * 1000)])
        sun = self._sun(at_s)
        shade = 0.75 + 0.25 * math.sin(40 * (self._hour + at_s * self._rate))  # clouds pass
        rows = np.linspace(9.0, 17.0, 120)[:, None] * np.ones((1, 160)) + 6 * sun * shade
        rows[_ROCK] += 34 * sun * shade  # bare rock in the sun
        degrees = rows + rng.normal(0, 0.08, rows.shape)
        age_s = -1.0 if self._fire_s is None else at_s - self._fire_s
        if age_s > 0:
            side = min(14, 2 + int(age_s / 4))
            x, y = round(FOOT[0] * 160), round(FOOT[1] * 120)
            degrees[y - side : y, x : x + side] = 110 + 60 * min(1.0, age_s / 20)
        return np.round((degrees + 273.15) / KELVIN).astype(np.uint16)

    def _sun(self, at_s: float) -> float:
        """0 by night, 1 at noon."""
        return sun(self._hour + at_s * self._rate)


def sun(hour: float) -> float:
    """0 by night, 1 at noon."""
    return max(0.0, math.sin(math.pi * (hour % 24 - 6) / 12))


class Smoke:
    """A column that rises, billows, widens and leans with the wind; it grows for a minute."""

    def __init__(self, seed: int) -> None:
        self._billows = fractal(np.random.default_rng([seed, 0xF12E]), 2 * WIDTH, 6 * HEIGHT)

    def over(self, picture: Picture, age_s: float, day: float) -> Picture:
        """(480, 640, 3) with the smoke of a fire that burns for `age_s`; `day` is the light, 0 to 1."""
        height, width = picture.shape[:2]
        rise = _RISE * height
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        up = (FOOT[1] * height - rows) / rise
        reach = 0.06 + 0.94 * min(1.0, age_s / _GROWN_S)
        inside = np.clip(up, 0, 1)
        axis = FOOT[0] * width + 0.16 * width * inside**1.3
        axis += 9 * inside * np.sin(7 * inside - age_s / 6)
        aside = (columns - axis) / (4 + 56 * inside**0.8)
        scroll = int(age_s * rise / 25) % (2 * height)
        billows = self._billows[2 * height - scroll : 3 * height - scroll, :width]
        dense = np.exp(-(aside**2)) * (1 - inside) ** 0.8 * np.clip((reach - up) / 0.06, 0, 1)
        dense *= np.clip(3.2 * (billows - 0.28), 0.1, 1.3) * (up > 0)
        veil = np.clip(0.95 * dense, 0, 0.88)[..., None]
        lit = (0.72 + 0.2 * np.clip(-aside, -1, 1) + 0.3 * (billows - 0.5)) * (0.1 + 0.9 * day)
        tone = np.array([226, 223, 220], np.float32) * np.clip(lit, 0, 1)[..., None]
        linear = (picture.astype(np.float32) / 255) ** 2.2
        grey = (tone / 255) ** 2.2
        return np.asarray(255 * (linear * (1 - veil) + grey * veil) ** (1 / 2.2), np.uint8)
