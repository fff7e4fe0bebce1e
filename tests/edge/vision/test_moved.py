"""When a camera counts as turned, and what must not look like it: a fire that grows, fog, a black night."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.frame import Frame, Picture
from edge.vision.pipeline.develop import Developer, Radiometry
from edge.vision.sources.source import Raw
from tests.edge.vision.scenes import scene

K_PER_COUNT = 0.04
WIDE, HIGH = 320, 240
Degrees = NDArray[np.float64]


def _moved(*raws: Raw, radiometry: Radiometry | None = None) -> list[bool]:
    developer = Developer("cam", radiometry=radiometry)
    found = [developer.develop(raw, i, i * 10**9, i * 10**9) for i, raw in enumerate(raws)]
    assert all(isinstance(frame, Frame) for frame in found)
    return [frame.moved for frame in found if isinstance(frame, Frame)]


def hill_c(x: int = 0, seed: int = 7) -> Degrees:
    """What a thermal camera sees of it: 10 to 30 degrees C; `x` px further to the right."""
    wide = scene(2 * WIDE, HIGH, seed)[:, x : x + WIDE, 0].astype(np.float64)
    return 10 + wide / 12


def burning(ground: Degrees, share: float, seed: int, at: int = 120) -> Degrees:
    """With a fire around `at` that fills about so much of the view, up to 400 degrees C and another one in each picture."""
    rng = np.random.default_rng(seed)
    billows = cv2.resize(rng.normal(0, 1, (10, 12)), (WIDE, HIGH), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:HIGH, :WIDE]
    radius = np.sqrt(share * WIDE * HIGH / np.pi)
    inside = radius - np.hypot(x - at, y - 150) - billows * radius / 4
    return np.asarray(ground + np.clip(inside / 15, 0, 1) * (300 + 75 * billows), np.float64)


def counts(celsius: Degrees, seed: int) -> Raw:
    noise = np.random.default_rng(seed).normal(0, 0.06, celsius.shape)
    return np.asarray(np.round((celsius + noise + 273.15) / K_PER_COUNT), np.uint16)


def thermal(*seen: Degrees) -> list[bool]:
    raws = [counts(celsius, i) for i, celsius in enumerate(seen)]
    return _moved(*raws, radiometry=Radiometry(K_PER_COUNT))


@pytest.mark.parametrize("largest", [0.1, 0.4, 0.9])
def test_a_fire_that_grows_over_a_thermal_picture_is_no_movement(largest: float) -> None:
    grows = [burning(hill_c(), largest * i / 15, i) for i in range(16)]
    stands = [burning(hill_c(), largest, i) for i in range(16, 90)]
    ends = [hill_c()] * 3
    assert not any(thermal(*grows, *stands, *ends))


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_thermal_camera_that_turns_is_noticed_also_while_it_burns(share: float) -> None:
    for x in (10, 40, 160):
        before = [hill_c(), *(burning(hill_c(), share * i / 5, i) for i in range(6))]
        after = [burning(hill_c(x), share, i, 120 - x) for i in (6, 7)]
        assert thermal(*before, *after) == [False] * 7 + [True, False], x
    warmer = [hill_c(), hill_c(), hill_c(seed=3) + 40]  # from a shady valley to sunlit rock
    assert thermal(*warmer) == [False, False, True]


def night(seed: int, level: float = 4.0, spread: float = 3.0) -> Picture:
    """Nothing but a sensor's noise; a lamp in a corner, without which the picture counts as dark."""
    noise = np.random.default_rng(seed).normal(level, spread, (180, 320, 3))
    picture = np.asarray(np.clip(noise, 0, 255), np.uint8)
    picture[:30, :40] = np.maximum(picture[:30, :40], 20)
    return picture


def fog(seed: int, drift: int = 0) -> Picture:
    """Even light from above, faint swathes that drift, and a sensor's noise."""
    rng = np.random.default_rng(seed)
    swathes = cv2.resize(np.random.default_rng(1).normal(0, 1.5, (12, 60)), (960, 180))
    light = np.linspace(180, 130, 180)[:, None] + swathes[:, drift : drift + 320]
    noisy = light[:, :, None] + (8, 0, -8) + rng.normal(0, 3, (180, 320, 3))
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def test_nothing_moves_where_nothing_is_seen() -> None:
    assert not any(_moved(*(night(i) for i in range(20))))
    assert not any(_moved(*(fog(i, drift=8 * i) for i in range(20))))
    cold = [np.full((HIGH, WIDE), 4.0)] * 20  # a thermal camera in a cloud
    assert not any(thermal(*cold))


def test_after_the_fog_a_camera_is_where_it_was_before_or_not() -> None:
    through = [fog(i, drift=4 * i) for i in range(100)]
    assert not any(_moved(scene(), *through, scene()))
    turned = _moved(scene(400, 180)[:, :320], *through, scene(400, 180)[:, 40:360])
    assert turned == [False] * 101 + [True]
