"""One camera from observations to events."""

from __future__ import annotations

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
    one,
    threshold,
)
from edge.vision.judge.learning import Lessons, decided, hold
from edge.vision.judge.settings import Mask, Settings
from edge.vision.judge.watch import Event, EventKind, Watch, answered, step
from edge.vision.observation import Box, Observation, Quality
from tests.edge.vision.judge.observations import observed, smoke

KIND = EventKind
AT_ONCE = Settings(hold_at_start=0, limits=Limits(start=0.5))


def run(
    seen: list[Observation], rules: Settings | None = None, watch: Watch | None = None
) -> tuple[Watch, list[Event]]:
    watch = watch or Watch()
    told: list[Event] = []
    for observation in seen:
        watch, events = step(watch, observation, rules or AT_ONCE)
        told += events
    return watch, told


def kinds(events: list[Event]) -> list[tuple[EventKind, int]]:
    """Without growth, which `test_extent` is about."""
    return [(e.kind, e.index) for e in events if e.kind is not KIND.GROWN]


def growing(first: int, count: int, score: float = 0.9) -> list[Observation]:
    return [observed(first + i, smoke(score, y=200 - 4 * i, size=40 + 6 * i)) for i in range(count)]


def quiet(first: int, count: int) -> list[Observation]:
    return [observed(first + i) for i in range(count)]


def test_growing_smoke_alarms_at_its_third_frame_once_and_ends_when_it_is_gone() -> None:
    _, told = run([*quiet(0, 5), *growing(5, 8), *quiet(13, 10)])
    assert kinds(told) == [(KIND.ALARM, 7), (KIND.ENDED, 17)]
    alarm = told[0]
    assert (alarm.label, alarm.since_index, alarm.track) == ("smoke", 5, 1)
    once = [
        observed(0, smoke(0.9)),
        *[observed(i, smoke(0.2)) for i in range(1, 9)],
        *growing(9, 4),
    ]
    assert [e.since_index for e in run(once)[1]] == [9]
    assert alarm.verdict is not None
    assert alarm.verdict.passed("persistence")
    assert alarm.verdict.passed("growth")
    assert alarm.en == (
        "Smoke in 3 of the last 3 frames, score 0.90, this camera's threshold 0.50; "
        "growing by 26% a frame; rising; far clearer than in the first frames."
    )
    assert alarm.zh.startswith("烟雾：最近 3 帧中出现 3 帧，得分 0.90，本机阈值 0.50；面积每帧增长")


def test_what_neither_grows_nor_rises_nor_is_strong_waits_until_it_was_there_long() -> None:
    known, _ = run(quiet(0, 40))
    still = [observed(40 + i, smoke(0.55)) for i in range(20)]
    strong = [observed(40 + i, smoke(0.8)) for i in range(20)]
    assert kinds(run(still, watch=known)[1]) == [(KIND.ALARM, 45)]
    first_day = Settings(hold_at_start=0, limits=Limits())
    assert kinds(run(still, first_day, known)[1]) == []
    assert kinds(run(strong, first_day, known)[1]) == [(KIND.ALARM, 45)]
    assert kinds(
        run(still, Settings(hold_at_start=0, limits=Limits(start=0.5), second_sign=False), known)[1]
    ) == [(KIND.ALARM, 42)]
    assert kinds(run(strong, watch=known)[1]) == [(KIND.ALARM, 42)]


def test_the_first_frames_of_a_camera_raise_no_alarm() -> None:
    assert kinds(run([*quiet(0, 3), *growing(3, 12)], Settings())[1]) == [(KIND.ALARM, 8)]
    assert kinds(run([*quiet(0, 8), *growing(8, 9)], Settings())[1]) == [(KIND.ALARM, 10)]


def test_what_stands_at_a_new_camera_from_the_first_frame_is_furniture_and_smoke_there_is_not() -> (
    None
):
    chimney = smoke(0.8, x=100)
    watch, told = run([observed(i, chimney) for i in range(60)])
    assert told == []
    burning = [observed(60 + i, chimney, smoke(0.97, size=40 + 6 * i)) for i in range(6)]
    assert kinds(run(burning, watch=watch)[1]) == [(KIND.ALARM, 62)]
    at_once = [observed(i, smoke(0.9, size=40 + 6 * i)) for i in range(6)]
    assert kinds(run(at_once)[1]) == [(KIND.ALARM, 2)]


@pytest.mark.parametrize(("first", "told_at"), [(2, None), (3, 8), (6, 8), (9, 11)])
def test_smoke_that_only_stands_there_is_told_though_it_began_in_a_new_cameras_first_frames(
    first: int, told_at: int | None
) -> None:
    haze = smoke(0.5, x=100)
    stands = [observed(first + i, haze, smoke(0.97)) for i in range(30)]
    _, told = run([*[observed(i, haze) for i in range(first)], *stands], Settings())
    assert kinds(told) == ([] if told_at is None else [(KIND.ALARM, told_at)])
    clearer = [observed(first + i, smoke(0.97, x=100)) for i in range(30)]
    _, told = run([*[observed(i, haze) for i in range(first)], *clearer], Settings())
    assert kinds(told) == ([] if told_at is None else [(KIND.ALARM, told_at)])


def test_what_a_new_camera_half_sees_from_the_first_frame_on_is_furniture_still() -> None:
    scores = [0.7, 0.8, 0.6, 0.9, 0.85, 0.9, 0.75, 0.9, 0.8, 0.9]
    rock = [observed(i, smoke(scores[i % 10])) for i in range(60)]
    assert run(rock, Settings())[1] == []


def test_what_crosses_the_picture_like_a_vehicle_never_alarms() -> None:
    crossing = [observed(i, smoke(0.95, x=20 + 40.0 * i)) for i in range(15)]
    assert run(crossing)[1] == []
    assert (
        run(crossing, Settings(hold_at_start=0, limits=Limits(start=0.5), second_sign=False))[1]
        == []
    )


def whole(label: str, score: float) -> Box:
    return Box(label, score, 5, 5, 630, 470)


@pytest.mark.parametrize("before", [1, 2, 10])
def test_a_fire_that_grows_to_fill_the_view_goes_on(before: int) -> None:
    filled = [observed(before + i, whole("smoke", 0.95)) for i in range(40)]
    _, told = run([*growing(0, before), *filled])
    assert kinds(told) == [(KIND.ALARM, 2)]


def test_haze_over_the_whole_view_is_no_smoke_and_flames_over_it_are_fire() -> None:
    weak = smoke(0.2)
    known, _ = run(quiet(0, 40))
    haze = [observed(40 + i, weak, whole("smoke", 0.9)) for i in range(20)]
    assert run(haze, watch=known)[1] == []
    calm = [msgspec.structs.replace(o, scores={"smoke": 0.0, "fire": 0.0}) for o in quiet(0, 40)]
    flames = [observed(40 + i, whole("fire", 0.95)) for i in range(20)]
    assert kinds(run([*calm, *flames])[1]) == [(KIND.ALARM, 42)]


def test_frames_that_cannot_be_judged_count_neither_for_nor_against() -> None:
    frames = growing(5, 8)
    bad = msgspec.structs.replace(frames[1], quality=Quality.HALF_GREY)
    with_bad = [*quiet(0, 5), frames[0], bad, bad, bad, *frames[2:], *quiet(13, 10)]
    assert kinds(run(with_bad)[1])[0] == (KIND.ALARM, 8)
    only_bad = [msgspec.structs.replace(f, quality=Quality.FROZEN) for f in frames]
    assert run(only_bad)[1] == []


def test_hysteresis_keeps_an_alarm_and_lower_scores_end_it() -> None:
    lower = [observed(8 + i, smoke(0.42, size=60)) for i in range(10)]
    _, told = run([*growing(0, 8), *lower])
    assert kinds(told) == [(KIND.ALARM, 2)]
    lowest = [observed(18 + i, smoke(0.3, size=60)) for i in range(10)]
    assert kinds(run([*growing(0, 8), *lower, *lowest])[1])[1] == (KIND.ENDED, 22)


def test_a_moved_camera_says_so_holds_alarms_and_keeps_the_open_one() -> None:
    jump = [observed(3, moved=True)]
    _, told = run([*growing(0, 2), observed(2, moved=True), *growing(3, 12)])
    assert kinds(told) == [(KIND.MOVED, 2), (KIND.WATCHING, 4), (KIND.ALARM, 5)]
    after = [observed(4 + i, smoke(0.9, x=20, y=30, size=50)) for i in range(12)]
    _, told = run([*growing(0, 3), *jump, *after, *quiet(16, 5)])
    assert kinds(told) == [(KIND.ALARM, 2), (KIND.MOVED, 3), (KIND.WATCHING, 5), (KIND.ENDED, 20)]


def test_masks_hide_what_lies_in_them_for_the_classes_they_name() -> None:
    left = Mask(((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    inside = [observed(i, smoke(0.9, x=100, size=40 + 5 * i)) for i in range(9)]
    outside = [observed(i, smoke(0.9, x=400, size=40 + 5 * i)) for i in range(9)]
    masked = Settings(hold_at_start=0, limits=Limits(start=0.5), masks=(left,))
    assert run(inside, masked)[1] == []
    assert kinds(run(outside, masked)[1]) == [(KIND.ALARM, 2)]
    only_fire = Settings(
        hold_at_start=0,
        limits=Limits(start=0.5),
        masks=(msgspec.structs.replace(left, labels=("fire",)),),
    )
    assert kinds(run(inside, only_fire)[1]) == [(KIND.ALARM, 2)]


def test_a_threshold_rises_over_what_a_quiet_camera_shows_and_waits_before_it_learns() -> None:
    flickering = [observed(i, smoke(0.45 + 0.01 * (i % 3), size=40 + i % 2)) for i in range(40)]
    watch, told = run(flickering)
    assert told == []
    learned = threshold(watch.calibration, "smoke", "visible", flickering[-1].ts_ns, Limits()).score
    assert learned > 0.48  # the third highest score of five frames was 0.46
    smoking = [observed(40 + i, smoke(0.9, size=50 + 5 * i)) for i in range(6)]
    assert kinds(run(smoking, watch=watch)[1]) == [(KIND.ALARM, 42)]


def test_an_alarm_is_never_learned_unless_an_operator_rejects_it() -> None:
    rules = Settings(hold_at_start=0)
    watch, told = run([*quiet(0, 30), *growing(30, 12, score=0.8), *quiet(42, 30)], rules)
    number = told[0].track
    now_ns = observed(71).ts_ns

    def limit(w: Watch) -> float:
        return threshold(w.calibration, "smoke", "visible", now_ns, Limits(day_s=0)).score

    assert limit(watch) < 0.5
    assert limit(answered(watch, number, fire=True, settings=rules)) == limit(watch)
    assert limit(answered(watch, number, fire=False, settings=rules)) > 0.8


def seen_as(label: str, first: int, count: int, rules: Settings) -> tuple[Watch, list[Event]]:
    """A cloud that scores 0.8 from the frame `first` on, and a fire of 0.96 ten frames later."""
    calm = [msgspec.structs.replace(o, scores={"smoke": 0.0, "fire": 0.0}) for o in quiet(0, first)]
    both = []
    for i in range(count):
        cloud = smoke(0.8, x=50, y=200 - 2 * i, size=40 + 3 * i)
        size = 40.0 + 4 * i
        fire = Box(label, 0.96, 450, 400 - size, size, size)
        both.append(observed(first + i, cloud, *[fire][: i >= 10]))
    return run([*calm, *both], rules)


@pytest.mark.parametrize("label", ["smoke", "fire"])
def test_a_rejected_alarm_teaches_nothing_of_another_one_that_was_open(label: str) -> None:
    rules = Settings(hold_at_start=0)
    watch, told = seen_as(label, 40, 30, rules)
    cloud, fire = [e.track for e in told if e.kind is KIND.ALARM]
    now_ns = observed(70).ts_ns

    def limit(w: Watch, name: str) -> float:
        return threshold(w.calibration, name, "visible", now_ns, Limits(day_s=0)).score

    after = answered(watch, fire, fire=True, settings=rules)
    after = answered(after, cloud, fire=False, settings=rules)
    assert 0.8 < limit(after, "smoke") < 0.9
    assert limit(after, "fire") == limit(watch, "fire")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6))
@settings(max_examples=20)
def test_the_last_word_about_an_alarm_counts(words: list[tuple[bool, bool]]) -> None:
    rules = Settings(hold_at_start=0)
    watch, told = run(
        [*quiet(0, 40), *growing(40, 12), *quiet(52, 8), *growing(60, 12), *quiet(72, 8)], rules
    )
    alarms = [e.track for e in told if e.kind is KIND.ALARM]
    assert len(alarms) == 2
    turned, last = watch, dict[int, bool]()
    for i, (second, fire) in enumerate(words):
        number = alarms[second]
        turned = answered(turned, number, fire=fire, settings=rules)
        last[number] = fire
        turned, _ = run(quiet(80 + i, 1), rules, turned)
    for i in range(len(words)):
        watch, _ = run(quiet(80 + i, 1), rules, watch)
    for number, fire in last.items():
        watch = answered(watch, number, fire=fire, settings=rules)
    both = [w.calibration.curves for w in (turned, watch)]
    for key in both[0].keys() | both[1].keys():
        one_way, other_way = (curves.get(key, Curve()) for curves in both)
        for number in one_way.weights.keys() | other_way.weights.keys():
            weights = [c.weights.get(number, 0.0) for c in (one_way, other_way)]
            assert weights[0] == pytest.approx(weights[1], rel=0.01, abs=1e-3)
        assert one_way.watched_s == pytest.approx(other_way.watched_s, rel=0.01, abs=1.0)


def test_a_rejected_alarm_counts_as_one_event_and_is_forgotten_in_weeks_not_months() -> None:
    rules, hour_ns, lessons = Settings(), 3_600_000_000_000, Lessons()
    frame = observed(0)

    def day(known: Calibration, number: int) -> Calibration:
        for hour in range(24):
            ts_ns = frame.ts_ns + (number * 24 + hour) * hour_ns
            hour_seen = msgspec.structs.replace(one(0.2, 3600.0, ts_ns), weights={1: 1800.0})
            known = add(known, key_of("smoke", "visible", ts_ns), hour_seen, rules.limits)
        return known

    known = Calibration()
    for number in range(-14, 0):
        known = day(known, number)
    lessons = Lessons(known)
    for i in range(3000):  # ten minutes, five a second
        at = msgspec.structs.replace(frame, ts_ns=frame.ts_ns + i * 200_000_000)
        lessons = hold(lessons, "smoke", at, 0.97, 0.2, 1)
    known = decided(lessons, 1, False, rules).calibration
    limits = []
    for number in range(22):
        known = day(known, number)
        ts_ns = frame.ts_ns + (number * 24 + 24) * hour_ns
        limits.append(threshold(known, "smoke", "visible", ts_ns, rules.limits).score)
    assert limits[0] > 0.97
    assert limits[21] < 0.5


@pytest.mark.parametrize("every", [1, 2, 3, 4, 5])
def test_a_camera_that_shakes_on_says_so_and_is_judged_as_it_is(every: int) -> None:
    known, _ = run(quiet(0, 40))
    burning = growing(40, 60, score=0.9)
    shaking = [msgspec.structs.replace(o, moved=i % every == 0) for i, o in enumerate(burning)]
    watch, told = run(shaking, watch=known)
    assert sum(e.kind is KIND.ALARM for e in told) == 1
    assert next(e.index for e in told if e.kind is KIND.ALARM) < 40 + 4 * 8 + 3
    assert sum(e.kind is KIND.SHAKES for e in told) <= 1
    assert sum(e.kind is KIND.MOVED for e in told) <= (4 if every < 5 else 12)
    _, told = run(quiet(100, 12), watch=watch)
    assert KIND.WATCHING in [e.kind for e in told] or not watch.shakes


def test_another_model_starts_anew_says_so_once_and_keeps_an_open_alarm() -> None:
    def by(version: str, frames: list[Observation]) -> list[Observation]:
        return [msgspec.structs.replace(o, model="smoke-fire", version=version) for o in frames]

    furniture = by("1", [observed(i, smoke(0.9)) for i in range(60)])
    watch, told = run(furniture)
    assert told == []
    fire = growing(60, 8, score=0.9)
    assert run(by("1", fire), watch=watch)[1] == []
    assert kinds(run(by("2", fire), watch=watch)[1]) == [(KIND.ANEW, 60), (KIND.ALARM, 62)]
    alarm = by("1", [*quiet(0, 5), *growing(5, 5)])
    after, told = run([*alarm, *by("2", growing(10, 5))])
    assert kinds(told) == [(KIND.ALARM, 7), (KIND.ANEW, 10)]
    assert after.model == "smoke-fire 2"
    unknown, told = run([*quiet(0, 20), *by("1", quiet(20, 3))])
    assert told == []  # what was learned before versions were remembered stays
    assert unknown.calibration.frames("smoke", "visible") > 10


def test_a_watch_survives_being_written_down_in_the_midst_of_an_alarm() -> None:
    frames = [*quiet(0, 20), *growing(20, 8), *quiet(28, 10)]
    whole, expected = run(frames)
    for cut in (10, 21, 23, 30):
        watch, told = run(frames[:cut])
        again = msgspec.json.decode(msgspec.json.encode(watch), type=Watch)
        assert again == watch
        after, rest = run(frames[cut:], watch=again)
        assert [*told, *rest] == expected
        assert after == whole


def test_two_pieces_of_one_plume_are_one_alarm() -> None:
    frames = []
    for i in range(12):
        pieces = [smoke(0.9, x=300, size=30 + 4 * i), smoke(0.85, x=345, size=30 + 4 * i)]
        frames.append(observed(i, *pieces))
    assert kinds(run(frames)[1]) == [(KIND.ALARM, 2)]


boxes = st.builds(
    Box,
    st.sampled_from(["smoke", "fire"]),
    st.floats(0, 1),
    st.floats(0, 600),
    st.floats(0, 440),
    st.floats(1, 400),
    st.floats(1, 400),
)


@st.composite
def sequences(draw: st.DrawFn) -> list[Observation]:
    gap_s = draw(st.sampled_from([0.2, 1.0, 30.0, 3600.0]))
    count = draw(st.integers(1, 40))
    sticky = draw(st.lists(boxes, max_size=2))
    return [
        observed(
            i,
            *sticky,
            *draw(st.lists(boxes, max_size=3)),
            gap_s=gap_s,
            quality=draw(st.sampled_from([Quality.GOOD] * 4 + [Quality.FROZEN])),
            moved=draw(st.sampled_from([False] * 9 + [True])),
        )
        for i in range(count)
    ]


@settings(max_examples=60)
@given(sequences(), st.integers(1, 4), st.integers(0, 3))
def test_whatever_comes_alarms_follow_the_rules(
    frames: list[Observation], k: int, more: int
) -> None:
    rules = Settings(hold_at_start=0, limits=Limits(start=0.5), k=k, n=k + more)
    watch, open_tracks, held = Watch(), set[int](), 0
    for frame in frames:
        judged = frame.quality is Quality.GOOD
        watch, events = step(watch, frame, rules)
        if frame.moved:
            held = 0 if watch.shakes else rules.hold_after_move
        for event in events:
            if event.kind is KIND.ALARM:
                assert judged
                assert held == 0
                assert event.track not in open_tracks
                open_tracks.add(event.track)
                track = next(t for t in watch.tracks if t.number == event.track)
                hits = [s for s in track.sightings[-rules.n :] if s.score >= event.threshold]
                assert len(hits) >= k
            if event.kind is KIND.ENDED:
                open_tracks.remove(event.track)
        held -= judged and held > 0
        assert {t.number for t in watch.tracks if t.open} == open_tracks
        assert len(watch.lessons.asked) <= 16


@given(st.lists(st.floats(0, 0.349), min_size=5, max_size=60), st.booleans())
def test_an_unmoved_camera_whose_scores_stay_under_the_floor_never_alarms(
    scores: list[float], second: bool
) -> None:
    frames = [observed(i, smoke(s, size=40 + i)) for i, s in enumerate(scores)]
    assert (
        run(frames, Settings(hold_at_start=0, limits=Limits(start=0.5), second_sign=second))[1]
        == []
    )


@settings(max_examples=20)
@given(sequences())
def test_nothing_alarms_behind_a_mask_over_the_whole_picture(frames: list[Observation]) -> None:
    everywhere = Mask(((-1, -1), (3, -1), (3, 3), (-1, 3)))
    _, told = run(frames, Settings(hold_at_start=0, limits=Limits(start=0.5), masks=(everywhere,)))
    assert not [e for e in told if e.kind is KIND.ALARM]


@pytest.mark.parametrize("gap_s", [1 / 25, 1.0, 3600.0])
def test_what_is_remembered_stays_small_however_often_frames_come(gap_s: float) -> None:
    watch, _ = run([observed(i, smoke(0.2 + 0.1 * (i % 3)), gap_s=gap_s) for i in range(1500)])
    assert len(msgspec.json.encode(watch)) < 40_000


def test_while_nobody_knows_what_is_usual_a_lamp_over_the_learned_threshold_raises_nothing() -> (
    None
):
    known, _ = run(quiet(0, 40), Settings(hold_at_start=0, limits=Limits(day_s=0)))
    rules = Settings(hold_at_start=0, limits=Limits(day_s=0), second_sign=False)
    lamp = [observed(40 + i, smoke(0.55)) for i in range(8)]
    turned = [msgspec.structs.replace(o, settled=False) for o in lamp]
    assert kinds(run(turned, rules, known)[1]) == []
    assert kinds(run(lamp, rules, known)[1]) != []


def lit(seen: list[Observation], spectrum: str) -> list[Observation]:
    return [msgspec.structs.replace(o, spectrum=spectrum) for o in seen]


def test_what_was_seen_by_day_is_no_evidence_in_the_night_mode_and_an_open_alarm_goes_on() -> None:
    by_day = [observed(i, smoke(0.55)) for i in range(40)]  # a roof, over the night's threshold
    watch, told = run(by_day)
    assert told == []
    dusk = lit([observed(40, smoke(0.55, size=60))], "infrared")
    assert [t.since_index for t in run(dusk, watch=watch)[0].tracks] == [40]
    assert kinds(run(dusk, watch=watch)[1]) == []
    _, told = run([*growing(0, 4), *lit(growing(4, 4), "infrared")])
    assert kinds(told) == [(KIND.ALARM, 2)]


@pytest.mark.parametrize("dark", [1, 2])
def test_flames_that_turn_a_grey_night_into_colour_are_no_later_for_it(dark: int) -> None:
    nights = [*quiet(0, 20), *lit(quiet(20, 20), "infrared")]
    burning = growing(40, 8)
    _, told = run([*nights, *lit(burning[:dark], "infrared"), *burning[dark:]], Settings())
    assert kinds(told) == [(KIND.ALARM, 42)]


def test_the_first_frames_of_a_night_mode_raise_no_alarm_and_those_of_the_second_night_do() -> None:
    first = [*quiet(0, 20), *lit([*quiet(20, 4), *growing(24, 9)], "infrared")]
    assert kinds(run(first, Settings())[1]) == [(KIND.ALARM, 28)]
    nights = [*quiet(0, 20), *lit(quiet(20, 20), "infrared"), *quiet(40, 9)]
    watch, told = run(nights, Settings())
    assert told == []
    assert kinds(run(lit(growing(49, 9), "infrared"), Settings(), watch)[1]) == [(KIND.ALARM, 51)]
