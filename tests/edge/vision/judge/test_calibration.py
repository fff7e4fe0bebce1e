"""Thresholds that are learned from quiet frames against a budget."""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.judge.calibration import (
    Calibration,
    Limits,
    add,
    key_of,
    one,
    quiet_limit,
    share_limit,
    threshold,
)
from edge.vision.watch.options import JudgeOptions
from tests.edge.vision.judge.observations import START_NS

HOUR_NS = 3_600_000_000_000
scores = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(scores, st.floats(0.01, 50)), max_size=60), st.floats(0, 40))
def test_a_threshold_lets_no_more_through_than_allowed_unless_the_ceiling_holds_it(
    weighted: list[tuple[float, float]], allowed: float
) -> None:
    limit = quiet_limit(weighted, allowed, floor=0.3)
    assert 0.3 <= limit <= 0.995
    if limit < 0.995:
        assert sum(w for s, w in weighted if s >= limit) <= allowed + 1e-9


@given(st.lists(scores, min_size=1, max_size=60), st.floats(0.001, 0.2))
def test_a_smaller_share_never_gives_a_lower_threshold(quiet: list[float], share: float) -> None:
    assert share_limit(quiet, share / 4) >= share_limit(quiet, share) - 1e-9


def test_the_tail_of_few_quiet_scores_foretells_what_many_would_show() -> None:
    rng = random.Random(5)

    def quiet(count: int) -> list[float]:
        return [1 / (1 + 2.718281828 ** -(rng.gauss(-2.5, 0.8))) for _ in range(count)]

    later = quiet(20_000)
    shares = []
    for _ in range(60):
        limit = share_limit(quiet(40), 0.005)
        shares.append(sum(s >= limit for s in later) / len(later))
    assert sum(shares) / len(shares) < 0.01  # the largest of 40 alone would let 2.4 % through


def test_a_camera_that_is_new_keeps_the_threshold_that_the_model_came_with() -> None:
    limits = Limits(start=0.6)
    now = threshold(Calibration(), "smoke", "visible", START_NS, limits)
    assert (now.score, now.known) == (0.6, False)


def _watched(score: float, hours: range, per_hour: int = 60) -> Calibration:
    known = Calibration()
    limits = Limits()
    for hour in hours:
        for i in range(per_hour):
            ts_ns = START_NS + hour * HOUR_NS + i * HOUR_NS // per_hour
            frame = one(score, 3600 / per_hour, ts_ns)
            known = add(known, key_of("smoke", "visible", ts_ns), frame, limits)
    return known


def test_hours_spectra_and_classes_have_thresholds_of_their_own_once_they_were_seen_enough() -> (
    None
):
    limits = Limits(day_s=20 * 3600)
    noisy = _watched(0.7, range(8, 9), per_hour=30)  # a sunset in one hour of the day
    calm = _watched(0.05, range(24))
    both = Calibration({**calm.curves, **noisy.curves})
    now_ns = START_NS + 24 * HOUR_NS
    assert threshold(both, "smoke", "visible", now_ns, limits).score > 0.7
    days = both
    for day in range(1, 6):
        for hour in (23, 24, 25):
            ts_ns = START_NS + (day * 24 + hour) * HOUR_NS
            days = add(days, key_of("smoke", "visible", ts_ns), one(0.05, 3600, ts_ns), limits)
    later_ns = START_NS + 6 * 24 * HOUR_NS
    assert threshold(days, "smoke", "visible", later_ns, limits).score < 0.5
    assert threshold(days, "smoke", "visible", later_ns + 8 * HOUR_NS, limits).score > 0.7
    assert threshold(days, "smoke", "infrared", later_ns, limits).score == limits.start
    assert threshold(days, "fire", "visible", later_ns, limits).score == limits.start


@dataclass(frozen=True)
class _Later:
    days: int
    above: bool


def test_what_was_seen_is_forgotten_with_its_half_life() -> None:
    limits = Limits(per_week=0.5)
    known = _watched(0.8, range(1), per_hour=4)
    for later in (_Later(1, True), _Later(60, False)):
        ts_ns = START_NS + later.days * 24 * HOUR_NS
        seen = add(known, key_of("smoke", "visible", ts_ns), one(0.02, 0, ts_ns), limits)
        for i in range(100):
            at_ns = ts_ns + i * HOUR_NS
            seen = add(seen, key_of("smoke", "visible", at_ns), one(0.02, 3600, at_ns), limits)
        found = threshold(seen, "smoke", "visible", ts_ns + 100 * HOUR_NS, limits).score
        assert (found > 0.8) is later.above, (later, found)


def test_what_was_learned_survives_being_written_down() -> None:
    known = _watched(0.3, range(3))
    again = msgspec.json.decode(msgspec.json.encode(known), type=Calibration)
    assert again == known


def test_smoke_starts_higher_than_heat_and_flames_unless_told() -> None:
    usual, told = JudgeOptions().settings(0.5), JudgeOptions(start=0.9).settings(0.5)
    assert [usual.limits_of(c).start for c in ("smoke", "fire", "hot-spot")] == [0.75, 0.6, 0.6]
    assert [told.limits_of(c).start for c in ("smoke", "fire", "hot-spot")] == [0.9, 0.9, 0.9]
