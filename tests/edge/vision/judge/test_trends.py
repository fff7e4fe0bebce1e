"""Growth that is more than the unrest of a box, however often the camera is looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.judge.trends import trend_of
from edge.vision.judge.verdict import GROWS


def areas(frames: int, apart_s: float, doubles_s: float, trembles: float = 0.0, seed: int = 0) -> list[tuple[float, float]]:  # fmt: skip
    """Log areas of a box of 50 px whose sides double in `doubles_s` and tremble by so many px."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(frames):
        side = 50 * 2 ** (i * apart_s / doubles_s)
        wide, tall = side + rng.normal(0, trembles, 2) if trembles else (side, side)
        out.append((float(i), math.log(wide * tall)))
    return out


def first(values: list[tuple[float, float]], *, slow: bool = False) -> int | None:
    """The frame at which growth is told, asked at each as the judge does."""
    return next(
        (n for n in range(1, len(values) + 1) if trend_of(values[:n], GROWS, slow=slow).passed),
        None,
    )


def test_a_fire_that_doubles_in_a_minute_is_told_within_seconds_at_five_frames_a_second() -> None:
    told = first(areas(64, 0.2, 60.0))
    assert told is not None
    assert told <= 30
    trembling = [first(areas(64, 0.2, 60.0, 1.0, seed)) for seed in range(40)]
    assert sum(t is not None for t in trembling) >= 36


@pytest.mark.parametrize("trembles", [1.0, 2.0])
def test_a_box_that_only_trembles_does_not_grow(trembles: float) -> None:
    steady = [areas(150, 0.2, math.inf, trembles, seed) for seed in range(40)]
    told = [any(trend_of(v[max(0, n - 64) : n], GROWS, slow=False).passed for n in range(3, 151)) for v in steady]  # fmt: skip
    assert sum(told) <= 4  # with a bare slope over eight frames 29 of 40


@given(st.lists(st.floats(1, 12), min_size=3, max_size=30))
def test_frames_a_minute_apart_are_told_by_their_last_eight(values: list[float]) -> None:
    places = [(float(i), v) for i, v in enumerate(values)]
    slow = trend_of(places, GROWS, slow=True)
    x, y = zip(*places[-8:], strict=True)
    assert slow.slope == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-6)
    assert slow.wanted == GROWS.slow


def test_two_frames_tell_nothing() -> None:
    assert not trend_of([(0, 1.0), (1, 9.0)], GROWS, slow=True).passed
    assert not trend_of([(0, 1.0), (1, 9.0)], GROWS, slow=False).passed
    assert not trend_of([], GROWS, slow=False).passed
