"""An open alarm whose fire became much larger is told again, as the same alarm and not too often."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.vision.judge.calibration import Limits
from edge.vision.judge.settings import Settings
from edge.vision.judge.watch import Event, EventKind, Watch, step
from edge.vision.observation import Observation
from tests.edge.vision.judge.observations import observed, smoke

AT_ONCE = Settings(hold_at_start=0, limits=Limits(start=0.5))
ALARM, GROWN, ENDED = EventKind.ALARM, EventKind.GROWN, EventKind.ENDED


def run(seen: list[Observation], watch: Watch | None = None) -> tuple[Watch, list[Event]]:
    watch, told = watch or Watch(), list[Event]()
    for one in seen:
        watch, events = step(watch, one, AT_ONCE)
        told += events
    return watch, told


def burning(sizes: Sequence[float], gap_s: float = 60.0, first: int = 0) -> list[Observation]:
    """A fire whose box has these sides, with its foot where it is."""
    return [
        observed(first + i, smoke(0.9, x=300 - s / 2, y=400 - s, size=s), gap_s=gap_s)
        for i, s in enumerate(sizes)
    ]


def test_a_fire_that_doubles_and_doubles_again_is_told_each_time_as_the_same_alarm() -> None:
    sizes = [40, 44, 48, *[50] * 5, *[80] * 10, *[120] * 10, *[120] * 10]
    _, told = run(burning(sizes))
    assert [(e.kind, e.index) for e in told] == [(ALARM, 2), (GROWN, 10), (GROWN, 20)]
    alarm, first, second = told
    assert {e.track for e in told} == {alarm.track}
    area = 48.0 * 48  # of its box at the alarm
    assert first.times == pytest.approx(80 * 80 / area, abs=0.01)
    assert second.times == pytest.approx(120 * 120 / area, abs=0.01)
    assert second.en == "Smoke has 6.2 times its area at the alarm, 5% of the picture."
    assert second.zh == "烟雾面积已是报警时的 6.2 倍，占画面 5%。"
    assert second.box is not None
    assert second.box.width == 120


def test_more_plumes_beside_it_are_growth_too() -> None:
    def plumes(i: int, count: int) -> Observation:
        own = [smoke(0.9, x=200 + 45 * n, size=40 + min(i, 5)) for n in range(count)]
        return observed(i, *own)

    frames = [plumes(i, 1 if i < 8 else 3) for i in range(16)]
    _, told = run(frames)
    assert [e.kind for e in told] == [ALARM, GROWN]
    assert told[1].times > 2


def test_one_large_box_among_small_ones_is_no_growth() -> None:
    sizes = [40, 44, 48, *[50, 50, 50, 50, 200] * 6]
    assert [e.kind for e in run(burning(sizes))[1]] == [ALARM]


@given(st.lists(st.floats(5, 400), min_size=1, max_size=60), st.sampled_from([0.2, 5.0, 60.0]))
@settings(max_examples=80)
def test_growth_is_told_seldom_and_only_while_the_alarm_is_open(
    sizes: list[float], gap_s: float
) -> None:
    rising = [40 + 2.0 * i for i in range(8)]
    _, told = run(burning([*rising, *sizes], gap_s))
    open_alarms = dict[int, Event]()
    last = dict[int, Event]()
    for event in told:
        if event.kind is ALARM:
            open_alarms[event.track] = last[event.track] = event
        elif event.kind is ENDED:
            del open_alarms[event.track]
        elif event.kind is GROWN:
            assert event.track in open_alarms
            assert event.ts_ns - last[event.track].ts_ns >= 60_000_000_000
            assert event.times >= 2 * max(1.0, last[event.track].times) - 0.02
            last[event.track] = event
    per_alarm = itertools.groupby(sorted(e.track for e in told if e.kind is GROWN))
    assert all(len(list(own)) <= 18 for _, own in per_alarm)


def test_a_camera_that_moved_or_zoomed_begins_anew_to_compare() -> None:
    before = burning([40, 44, 48, 50, 50])
    moved = [observed(5, moved=True)]
    after = burning([120] * 10, first=6)
    later = burning([180] * 10, first=16)
    _, told = run([*before, *moved, *after, *later])
    assert [(e.kind, e.index) for e in told if e.kind is GROWN] == [(GROWN, 18)]
    assert told[-1].times == pytest.approx(2.25)


def test_what_was_told_survives_a_restart() -> None:
    watch, _ = run(burning([40, 44, 48, 50, 50]))
    again = msgspec.json.decode(msgspec.json.encode(watch), type=Watch)
    assert again == watch
    _, told = run(burning([90] * 6, first=5), again)
    assert [e.kind for e in told] == [GROWN]
    old = msgspec.structs.replace(
        watch,
        tracks=tuple(
            msgspec.structs.replace(t, first_area=0.0, told_area=0.0) for t in watch.tracks
        ),
    )
    assert [e.kind for e in run(burning([50] * 9, first=5), old)[1]] == []
