"""What comes to a camera that is not known yet, and what stood there from the beginning."""

from __future__ import annotations

import msgspec
import pytest

from edge.vision.judge.news import First, noticed
from edge.vision.judge.watch import Event, EventKind, Watch, step, threshold_of
from edge.vision.observation import Observation
from edge.vision.watch.options import JudgeOptions
from tests.edge.vision.judge.observations import observed, smoke

RULES = JudgeOptions().settings(0.5)


def run(seen: list[Observation], watch: Watch | None = None) -> tuple[Watch, list[int]]:
    """The frames of its alarms."""
    watch, told = watch or Watch(), list[Event]()
    for observation in seen:
        watch, events = step(watch, observation, RULES)
        told += events
    return watch, [e.index for e in told if e.kind is EventKind.ALARM]


def model(seen: Observation, version: str) -> Observation:
    return msgspec.structs.replace(seen, model="m", version=version)


def known(watch: Watch, index: int) -> bool:
    return threshold_of(watch, "smoke", observed(index), RULES).known


def test_furniture_stays_furniture_after_the_camera_was_bumped() -> None:
    seen = [observed(i, smoke(0.97), moved=i == 4) for i in range(60)]
    watch, alarms = run(seen)
    assert alarms == []
    assert known(watch, 60)


def test_furniture_that_is_missed_for_some_frames_stays_furniture() -> None:
    for shown in (1, 2, 3):
        gap = [observed(i, smoke(0.97)) if i < shown or i >= shown + 6 else observed(i) for i in range(40)]  # fmt: skip
        assert run(gap)[1] == []
    often = [observed(i, smoke(0.97)) if i % 25 < 20 else observed(i) for i in range(180)]
    watch, alarms = run(often)
    assert alarms == []
    assert known(watch, 180)


def test_one_frame_in_another_light_makes_nothing_new() -> None:
    seen = [observed(i, smoke(0.97), spectrum="infrared" if i == 5 else "visible") for i in range(40)]  # fmt: skip
    watch, alarms = run(seen)
    assert alarms == []
    assert known(watch, 40)


def test_flames_that_turn_a_camera_out_of_its_night_mode_are_no_furniture_of_the_day() -> None:
    night = [observed(i, spectrum="infrared") for i in range(40)]
    began = [observed(40 + i, smoke(0.97), spectrum="infrared") for i in range(2)]
    lit = [observed(42 + i, smoke(0.97)) for i in range(20)]
    assert run([*night, *began, *lit])[1] == [50]


def test_what_was_faint_for_long_and_then_clear_is_told_though_its_beginning_is_forgotten() -> None:
    faint = [observed(4 + i, smoke(0.5), gap_s=1.0) for i in range(70)]
    clear = [observed(74 + i, smoke(0.97), gap_s=1.0) for i in range(10)]
    assert run([*(observed(i, gap_s=1.0) for i in range(4)), *faint, *clear])[1] == [76]


def test_a_road_on_which_something_always_comes_is_known_after_a_while() -> None:
    crossing = [observed(i, smoke(0.95, x=20 + 40.0 * (i % 15))) for i in range(60)]
    watch, alarms = run([*(observed(i) for i in range(4)), *(msgspec.structs.replace(o, index=o.index + 4, ts_ns=o.ts_ns + 240_000_000_000) for o in crossing)])  # fmt: skip
    assert alarms == []
    assert known(watch, 64)


def test_what_stands_elsewhere_after_a_bump_is_furniture_still() -> None:
    before = [observed(i, smoke(0.97, x=100)) for i in range(4)]
    after = [observed(4 + i, smoke(0.97, x=400), moved=i == 0) for i in range(40)]
    assert run([*before, *after])[1] == []


def test_furniture_elsewhere_hides_no_fire() -> None:
    rock = smoke(0.9, x=100)
    seen = [observed(i, rock) if i < 4 else observed(i, rock, smoke(0.95)) for i in range(30)]
    assert run(seen)[1] == [8]


@pytest.mark.parametrize("gap_s", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("score", [0.77, 0.8, 0.85])
def test_weak_smoke_that_grows_at_a_new_camera_is_told_and_does_not_become_usual(
    gap_s: float, score: float
) -> None:
    grows = [observed(8 + i, smoke(score, y=200 - 4 * i, size=40 + 6 * i), gap_s=gap_s) for i in range(40)]  # fmt: skip
    assert run([*(observed(i, gap_s=gap_s) for i in range(8)), *grows])[1][:1] == [10]


@pytest.mark.parametrize(("now", "alarms"), [(0.91, []), (0.925, [8])])
def test_what_stood_there_from_the_beginning_must_become_far_clearer(
    now: float, alarms: list[int]
) -> None:
    seen = [observed(i, smoke(0.6 if i < 4 else now)) for i in range(10)]
    assert run(seen)[1] == alarms


def test_furniture_is_none_for_another_model_before_that_looked() -> None:
    old = [model(observed(i), "a") for i in range(5)]
    new = [model(observed(5 + i, smoke(0.97)), "b") for i in range(40)]
    watch, alarms = run([*old, *new])
    assert alarms == []
    assert threshold_of(watch, "smoke", new[-1], RULES).known


@pytest.mark.parametrize("gap_s", [1.0, 60.0])
def test_what_came_and_stays_teaches_nothing_for_thirty_frames_and_ten_minutes(
    gap_s: float,
) -> None:
    last = max(29, round(600 / gap_s)) - 1
    rules = msgspec.structs.replace(RULES, hold_at_start=10_000)
    watch, learned = Watch(), []
    for i in range(last + 2):
        boxes = [smoke(0.95)] if i >= 4 else []
        watch, _ = step(watch, observed(i, *boxes, gap_s=gap_s), rules)
        waits = sum(slot.seen.frames for slot in watch.lessons.waiting)
        learned.append(round(waits + watch.calibration.frames("smoke", "visible")))
    assert learned[5] == learned[last] == 6
    assert learned[last + 1] == 7


def test_of_a_picture_full_of_boxes_the_first_frames_keep_the_clearest() -> None:
    many = [smoke(0.5 + i / 1000, x=10.0 * (i % 64), y=10.0 * (i // 64), size=2) for i in range(90)]
    first = noticed(First(), many, (), 1, RULES)
    assert sorted(b.score for b in first.boxes) == sorted(b.score for b in many)[-64:]


@pytest.mark.parametrize(("score", "alarms"), [(0.85, [20]), (0.92, [12])])
def test_until_it_is_known_what_is_usual_at_a_camera_smoke_must_be_far_over_the_threshold(
    score: float, alarms: list[int]
) -> None:
    grows = [observed(10 + i, smoke(score, y=200 - 4 * i, size=40 + 6 * i), gap_s=1.0) for i in range(14)]  # fmt: skip
    seen = [*(observed(i, gap_s=1.0) for i in range(10)), *grows]
    told = [msgspec.structs.replace(o, settled=o.index >= 20) for o in seen]
    assert run(told)[1] == alarms
