"""Which earlier frames a picture is compared with, and what is made of them."""

from __future__ import annotations

import numpy as np

from edge.vision.frame import Picture
from edge.vision.opencv import cv2
from edge.vision.reference import Reference, median


def scene(light: float, seed: int) -> Picture:
    """A hillside in this light, with the noise of a sensor."""
    rng = np.random.default_rng(7)
    base = cv2.resize(rng.uniform(20, 120, (6, 8, 3)).astype(np.float32), (128, 96))
    sun = np.linspace(0, 90 * light, 96, dtype=np.float32)[::-1, None, None]
    noise = np.random.default_rng(seed).normal(0, 2, base.shape)
    return np.asarray(np.clip(base + sun + noise, 0, 255), np.uint8)


def test_a_reference_is_of_the_earlier_frames_in_the_same_light_and_never_of_the_last_three() -> (
    None
):
    reference = Reference()
    for i in range(40):  # noon and evening by turns, as pictures of two days
        frame = scene(i % 2, i)
        made = reference.picture(frame)
        if i < 4:
            assert made is None
        elif i > 12:
            assert made is not None
            same = np.abs(made.astype(int) - scene(i % 2, 99)).mean()
            assert same * 4 < np.abs(made.astype(int) - scene(1 - i % 2, 99)).mean()
        reference.add(frame, i)
    reference = Reference()
    for i in range(8):
        reference.add(np.full((16, 16, 3), 10 * i, np.uint8), i)
    made = reference.picture(np.full((16, 16, 3), 80, np.uint8))
    assert made is not None
    assert made.max() <= 50  # frame 8 may see frame 4 and those before
    reference.add(np.zeros((9, 9, 3), np.uint8), 99)
    assert reference.picture(np.zeros((9, 9, 3), np.uint8)) is None


def test_smoke_in_one_place_does_not_change_which_frames_are_its_reference() -> None:
    reference = Reference()
    for i in range(20):
        reference.add(scene(i % 2, i), i)
    smoky = scene(1.0, 50)
    smoky[30:60, 20:70] = 190  # a sixth of the picture
    made = reference.picture(smoky)
    assert made is not None
    assert np.abs(made.astype(int) - scene(1.0, 51)).mean() < 4


def test_sixty_kept_frames_take_less_than_a_fifth_of_their_levels() -> None:
    reference = Reference()
    for i in range(60):
        reference.add(np.asarray(cv2.resize(scene(0.5, i), (512, 384)), np.uint8), i)
    kept = sum(frame.jpeg.nbytes for frame in reference._kept)
    assert kept < 60 * 512 * 384 * 3 / 5


def test_the_median_of_three_is_numpys_and_evens_out_an_exposure_that_changed() -> None:
    rng = np.random.default_rng(2)
    alike = [rng.integers(100, 140, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    made = median(alike)
    assert made is not None
    off = np.median(np.stack(alike), axis=0).astype(int) - made
    assert np.abs(off).max() <= 4  # gains of nearly 1
    base = rng.integers(40, 120, (32, 32, 3), dtype=np.uint8)
    darker = (base * 0.6).astype(np.uint8)
    made = median([base, darker, darker])
    assert made is not None
    assert np.abs(made.astype(int) - base).mean() < 2
