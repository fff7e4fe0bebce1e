"""What is learned from quiet frames must not follow a fire that takes hours, and follows a camera that becomes noisier."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vision.judge.calibration import (
    Calibration,
    Curve,
    Limits,
    add,
    key_of,
    log_odds,
    noted,
    one,
    threshold,
)
from edge.vision.judge.learning import Lessons, decided, hold
from edge.vision.judge.settings import Settings
from edge.vision.judge.watch import EventKind, Watch, step
from edge.vision.observation import Observation
from tests.edge.vision.judge.days import MINUTES, RULES, Odds, alarms, fire, frames
from tests.edge.vision.judge.observations import START_NS, observed

HOUR_NS = 3_600_000_000_000
BEGINS = 2 * MINUTES + 8 * 60
RISE = Limits().rise


def days(minutes: int, more: Odds = lambda _: 0.0) -> Iterator[Observation]:
    """With a dawn and no dusk, which would tell a fire sooner."""
    return frames(minutes / MINUTES, 1, more, quiet=-2.0, weather=0.0, unrest=0.3, bright=(6.0,))


@cache
def quiet_days() -> Watch:
    """Two days and eight hours."""
    watch = Watch()
    for frame in days(BEGINS):
        watch, events = step(watch, frame, RULES)
        assert not events
    return watch


@pytest.mark.parametrize("an_hour", [0.2, 0.3, 0.5])
def test_a_fire_that_grows_for_hours_is_told(an_hour: float) -> None:
    watch = quiet_days()
    for frame in itertools.islice(days(2 * BEGINS, fire(BEGINS, an_hour)), BEGINS, None):
        watch, events = step(watch, frame, RULES)
        if any(e.kind is EventKind.ALARM for e in events):
            break
    assert any(t.open for t in watch.tracks)
    assert frame.scores["smoke"] < 0.9  # it was 0.995, after 15 to 35 hours


def test_a_camera_whose_scores_follow_dawn_and_dusk_gives_no_false_alarm() -> None:
    assert alarms(frames(4.5, 1)) == []


def hourly(scores: Iterable[float], limits: Limits) -> Iterator[tuple[int, Calibration]]:  # fmt: skip
    """A quiet frame an hour that stands for all of it, and what is known after each."""
    known = Calibration()
    for hour, score in enumerate(scores):
        ts_ns = START_NS - START_NS % HOUR_NS + hour * HOUR_NS
        known = add(known, key_of("smoke", "visible", ts_ns), one(score, 3600, ts_ns), limits)
        known = noted(known, "smoke", "visible", ts_ns, limits)
        yield ts_ns, known


@given(st.lists(st.floats(0, 1), min_size=60, max_size=80))
@settings(max_examples=25)
def test_no_hour_is_learned_up_by_more_than_a_little_a_day(scores: list[float]) -> None:
    limits = Limits(hour_s=1.0, learn_frames=1, learn_s=1.0)
    floor, befores = log_odds(limits.floor), dict[str, float]()
    for ts_ns, known in hourly(scores, limits):
        key = key_of("smoke", "visible", ts_ns)
        lid = known.lids[key].before
        if lid is None:
            continue
        assert lid <= max(befores.get(key, 9.0), floor) + RISE + 1e-3
        befores[key] = lid
        for minutes in (0, 59):
            at_ns = ts_ns + minutes * 60_000_000_000
            now = log_odds(threshold(known, "smoke", "visible", at_ns, limits).score)
            assert now <= max(lid + RISE, floor) + 1e-3
    assert befores


def test_a_camera_that_becomes_noisier_is_followed_over_days_and_at_once_on_its_first() -> None:
    limits = Limits(hour_s=1.0)
    for daily, followed in ((0.4, True), (0.6, False)):
        rising = (1 / (1 + math.exp(3 - daily * max(0, hour / 24 - 2))) for hour in range(24 * 14))
        for ts_ns, known in hourly(rising, limits):
            now = log_odds(threshold(known, "smoke", "visible", ts_ns, limits).score)
        assert (now > -3 + daily * 12) is followed
    first = list(hourly([0.9] * 12, limits))[-1]
    assert threshold(first[1], "smoke", "visible", first[0], limits).score > 0.9


def test_a_rejected_alarm_raises_a_threshold_at_once_however_much() -> None:
    rules = Settings()
    ts_ns, known = list(hourly([0.1] * 24 * 6, rules.limits))[-1]
    ts_ns += HOUR_NS
    lessons = Lessons(noted(known, "smoke", "visible", ts_ns, rules.limits))
    frame = msgspec.structs.replace(observed(0), ts_ns=ts_ns)
    for i in range(20):
        at = msgspec.structs.replace(frame, ts_ns=ts_ns + i * 10_000_000_000)
        lessons = hold(lessons, "smoke", at, 0.9, 10.0, 7)

    def limit(found: Lessons) -> float:
        return threshold(found.calibration, "smoke", "visible", ts_ns, rules.limits).score

    assert limit(lessons) < 0.4
    rejected = decided(lessons, 7, False, rules)
    assert limit(rejected) > 0.9
    assert limit(decided(rejected, 7, True, rules)) == limit(lessons)
    assert not any(c.told for c in decided(rejected, 7, True, rules).calibration.curves.values())


def test_an_hour_that_was_never_seen_is_held_down_by_those_that_were() -> None:
    limits = Limits(hour_s=1.0)
    by_day = [0.3 if hour % 24 < 12 else None for hour in range(24 * 5)]
    known = Calibration()
    for hour, score in enumerate(by_day):
        if score is not None:
            ts_ns = START_NS - START_NS % HOUR_NS + hour * HOUR_NS
            known = add(known, key_of("smoke", "visible", ts_ns), one(score, 3600, ts_ns), limits)
            known = noted(known, "smoke", "visible", ts_ns, limits)
    evening_ns = START_NS + (4 * 24 + 14) * HOUR_NS
    hot = Curve({90: 50.0}, 3600.0, evening_ns)
    known = add(known, key_of("smoke", "visible", evening_ns), hot, limits)
    before = max(lid.before for lid in known.lids.values() if lid.before is not None)
    found = threshold(known, "smoke", "visible", evening_ns, limits).score
    assert log_odds(found) == pytest.approx(before + RISE, abs=0.01)


def test_a_clock_that_jumps_holds_nothing_down_for_long() -> None:
    limits = Limits(hour_s=1.0)
    ts_ns, known = list(hourly([0.2] * 60, limits))[-1]
    back_ns = ts_ns - 400 * 24 * HOUR_NS
    for day in range(30):
        at_ns = back_ns + day * 24 * HOUR_NS
        known = noted(known, "smoke", "visible", at_ns, limits)
        assert known.lids[key_of("smoke", "visible", at_ns)].since_ns == at_ns
