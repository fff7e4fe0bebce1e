"""Flames told from lamps, sunsets and beacons; and a gate for slow smoke."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.flame import Flames, flicker, tone_power
from edge.vision.frame import Frame, Picture
from edge.vision.observation import Observation
from edge.vision.slow_smoke import SlowSmoke
from tests.edge.vision.scenes import scene

FPS = 25
SECOND_NS = 1_000_000_000


def frame(picture: Picture, index: int, every_s: float) -> Frame:
    return Frame("cam", index, int((1 + index * every_s) * SECOND_NS), picture)


def with_blob(radius: float, colour: tuple[int, int, int] = (40, 150, 250)) -> Picture:
    picture = np.full((180, 320, 3), 60, np.uint8)
    return np.asarray(cv2.circle(picture, (160, 90), round(radius), colour, -1), np.uint8)


def watched(radii: list[float], fps: float = FPS) -> Observation:
    flames = Flames()
    seen = [flames.look(frame(with_blob(r), i, 1 / fps)) for i, r in enumerate(radii)]
    return seen[-1]


def flame_radii(fps: float = FPS, seconds: float = 2.5) -> list[float]:
    rng, out, level = np.random.default_rng(3), [], 0.0
    for i in range(int(fps * seconds)):
        level = 0.75 * level + rng.normal(0, 1.6)
        out.append(20 + level + 1.5 * math.sin(2 * math.pi * 3.1 * i / fps))
    return out


def test_a_flame_flickers_and_a_lamp_a_sunset_and_a_beacon_do_not() -> None:
    flame = watched(flame_radii())
    assert flame.cues["flicker"] > 0.4
    assert flame.boxes[0].score > 0.55
    count = int(FPS * 2.5)
    lamp = watched([20.0] * count)
    sunset = watched([20 + 0.08 * i for i in range(count)])
    beacon = watched([20 + 6 * math.sin(2 * math.pi * 2 * i / FPS) for i in range(count)])
    for other in (lamp, sunset, beacon):
        assert other.cues.get("flicker", 0.0) == pytest.approx(0.0, abs=0.2)
        assert max(b.score for b in other.boxes) < 0.5


def test_at_a_low_rate_flicker_cannot_be_told_and_is_not_claimed() -> None:
    seen = watched(flame_radii(2.0, 6.0), fps=2.0)
    assert "flicker" not in seen.cues
    assert [b.score for b in seen.boxes] == [0.2]


@given(st.integers(1, 20), st.floats(0.1, 100), st.floats(0, 6.28))
def test_a_tone_has_its_power_at_its_own_frequency(
    number: int, amplitude: float, phase: float
) -> None:
    samples = amplitude * np.cos(2 * np.pi * number * np.arange(50) / 50 + phase)
    assert tone_power(samples, number) == pytest.approx((amplitude * 25) ** 2, rel=1e-6)
    assert tone_power(samples, number % 20 + 1) < 1e-6 * (amplitude * 25) ** 2


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=60))
def test_flicker_is_a_share_whatever_the_areas_are(areas: list[float]) -> None:
    assert 0 <= flicker(np.array(areas), 25.0) <= 1


def veiled(background: Picture, strength: float) -> Picture:
    """Grey smoke rises in the middle of the picture."""
    alpha = np.zeros(background.shape[:2], np.float32)
    cv2.ellipse(alpha, (160, 90), (30, 50), 0, 0, 360, strength, -1)
    soft = np.asarray(cv2.GaussianBlur(alpha, (15, 15), 0), np.float32)[..., None]
    mixed = background * (1 - soft) + np.float32(190) * soft
    noise = np.random.default_rng(int(strength * 1e6)).normal(0, 1.5, background.shape)
    return np.asarray(np.clip(mixed + noise, 0, 255), np.uint8)


def test_smoke_that_thickens_over_minutes_opens_the_gate_where_it_is() -> None:
    gate, background = SlowSmoke(), scene()
    for i in range(60):
        assert gate.look(frame(veiled(background, 1e-6 * i), i, 5)).boxes == ()
    seen = [gate.look(frame(veiled(background, 0.03 * i), 60 + i, 5)) for i in range(14)]
    box = seen[-1].boxes[0]
    assert 110 < box.x + box.width / 2 < 210
    assert 40 < box.y + box.height / 2 < 140


def test_a_cloud_over_the_sun_and_a_sunset_do_not_open_it() -> None:
    gate, background = SlowSmoke(), scene()
    for i in range(120):
        gain = 1 - 0.3 * max(0, i - 60) / 60
        tint = np.array([1.0, 1.0 + 0.0008 * i, 1.0 + 0.0016 * i])
        noise = np.random.default_rng(i).normal(0, 1.5, background.shape)
        picture = np.clip(background * gain * tint + noise, 0, 255).astype(np.uint8)
        assert gate.look(frame(picture, i, 10)).boxes == ()
