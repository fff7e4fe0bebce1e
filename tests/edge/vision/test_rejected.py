"""What an operator says of an alarm is learned at its place: rejected heat at once, confirmed heat never."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.frame import Frame, Picture
from edge.vision.nn.load import load_detector
from edge.vision.nn.odds import Cells, Odds
from edge.vision.nn.packed import Packed
from edge.vision.nn.rejected import Rejected
from edge.vision.nn.usual import Usual
from edge.vision.watch.answer import Answer
from edge.vision.watch.eye import Eye
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tests.edge.vision.test_usual import SECOND_NS, after_a_quiet_hour, heat, left

MINUTE_NS, DAY_NS = 60 * SECOND_NS, 86_400 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
HERE: Cells = (slice(3, 8), slice(3, 8))
HOT = {(5, 5): 0.9, (10, 10): 0.9}


def alarm(usual: Usual, frames: int = 12, since_ns: int = HOUR_NS) -> int:
    """When it was raised."""
    for i in range(frames):
        usual.burns(heat(HOT, 500 + i), since_ns + i * 30 * SECOND_NS)
    usual.saw(heat({}, 600), since_ns + frames * 30 * SECOND_NS)
    return since_ns


def limit(usual: Usual) -> Odds:
    found = usual.limit()
    assert found is not None
    return found


def test_a_rejected_alarm_is_usual_at_its_place_at_once_tomorrow_too_and_not_for_ever() -> None:
    usual = after_a_quiet_hour({})
    at_ns = alarm(usual)
    assert left(HOT, 700, limit(usual))[5, 5] > 0.7  # nobody said anything yet
    usual.answered(0, HERE, at_ns, fire=False)
    now = left(HOT, 701, limit(usual))
    assert now[5, 5] < 0.35
    assert now[10, 10] > 0.7  # what was hot elsewhere at that time was not asked about
    assert left({(5, 5): 0.999}, 702, limit(usual))[5, 5] > 0.8
    packed = usual.packed("m")
    assert packed is not None
    again = Usual()
    assert again.unpack(msgspec.json.decode(msgspec.json.encode(packed), type=Packed))
    for kept in (usual, again):
        kept.saw(heat({}, 703), at_ns + DAY_NS)
        assert left(HOT, 704, limit(kept))[5, 5] < 0.35
        kept.saw(heat({}, 705), at_ns + 40 * DAY_NS)
        assert left(HOT, 706, limit(kept))[5, 5] > 0.7


def test_a_confirmed_alarm_is_never_learned_whatever_is_said_of_others_or_was_said_before() -> None:
    usual = after_a_quiet_hour({})
    at_ns = alarm(usual)
    usual.answered(0, (slice(9, 12), slice(9, 12)), at_ns, fire=True)
    usual.answered(0, HERE, at_ns, fire=False)  # at the same time: its frames show a fire
    assert left(HOT, 701, limit(usual)).max() > 0.7
    other = after_a_quiet_hour({})
    at_ns = alarm(other)
    other.answered(0, HERE, at_ns, fire=False)
    other.answered(0, HERE, at_ns, fire=True)  # a second look
    assert left(HOT, 701, limit(other))[5, 5] > 0.7


def test_a_verdict_about_an_alarm_that_is_not_remembered_teaches_nothing() -> None:
    usual = after_a_quiet_hour({})
    at_ns = alarm(usual)
    before = limit(usual).copy()
    for other_ns in (at_ns - HOUR_NS, at_ns + HOUR_NS):
        usual.answered(0, HERE, other_ns, fire=False)
        assert np.array_equal(limit(usual), before)
    for i in range(1, 20):
        alarm(usual, 2, at_ns + i * HOUR_NS)
    usual.answered(0, HERE, at_ns, fire=False)
    assert np.array_equal(limit(usual), before)
    assert len(usual._rejected._alarms) <= 6


def restarted(usual: Usual) -> Usual:
    packed, new = usual.packed("m"), Usual()
    assert packed is not None
    assert new.unpack(msgspec.json.decode(msgspec.json.encode(packed), type=Packed))
    return new


def test_what_was_rejected_on_a_cameras_first_minutes_survives_a_restart() -> None:
    usual = Usual()
    for i in range(4):
        usual.saw(heat({}, i), i * 30 * SECOND_NS)
    usual.answered(0, HERE, alarm(usual), fire=False)
    new = restarted(usual)
    assert not new.known
    assert left(HOT, 701, limit(new))[5, 5] < 0.35
    new.saw(np.zeros((1, 6, 8), np.float32), 2 * HOUR_NS)  # of a picture of another size
    assert new.limit() is None


@pytest.mark.parametrize("quiet", [4, 120])
def test_a_verdict_that_comes_after_a_restart_teaches_what_it_would_have_taught_before(
    quiet: int,
) -> None:
    before = Usual()
    for i in range(quiet):
        before.saw(heat({}, i), i * 30 * SECOND_NS)
    at_ns = alarm(before)
    new = restarted(before)
    for usual in (before, new):
        usual.answered(0, HERE, at_ns, fire=False)
    assert float(np.abs(limit(before) - limit(new))[0][HERE].max()) < 0.1
    assert left(HOT, 701, limit(new))[5, 5] < 0.35
    other = restarted(before)
    other.answered(0, HERE, at_ns, fire=True)
    other.answered(0, HERE, at_ns, fire=False)
    again = restarted(other)
    again.answered(0, HERE, at_ns, fire=False)
    assert left(HOT, 702, limit(again))[5, 5] > 0.7


def test_an_alarm_that_is_open_at_a_restart_goes_on_as_one() -> None:
    usual = after_a_quiet_hour({})
    usual.burns(heat({}, 500), HOUR_NS)
    new = restarted(usual)
    for i in range(1, 12):
        new.burns(heat(HOT, 500 + i), HOUR_NS + i * 30 * SECOND_NS)
    new.saw(heat({}, 600), HOUR_NS + 12 * 30 * SECOND_NS)
    new.answered(0, HERE, HOUR_NS, fire=False)
    assert left(HOT, 701, limit(new))[5, 5] < 0.35
    assert len(new._rejected._alarms) == 1


@given(
    st.lists(st.tuples(st.sampled_from(["burn", "quiet", "reject", "confirm", "restart"]), st.integers(0, 9)), max_size=60)
)  # fmt: skip
def test_whatever_is_said_only_cells_that_were_rejected_are_ever_raised(
    steps: list[tuple[str, int]],
) -> None:
    rejected, allowed = Rejected(), np.zeros((12, 16), np.bool_)
    for at, (what, place) in enumerate(steps):
        cells = (slice(place, place + 2), slice(place, place + 3))
        match what:
            case "burn":
                rejected.add([], heat(HOT, at), at)
            case "quiet":
                rejected.ended()
            case "restart":
                kept = rejected.packed((1, 12, 16))
                rejected = Rejected()
                rejected.unpack(
                    Packed("m", 0, (1, 12, 16), b"", b"", rejected=kept[0], rejected_ns=kept[1], alarms=kept[2])
                )  # fmt: skip
            case "reject":
                rejected.reject(0, cells, max(0, at - place))
                allowed[cells] = True
            case _:
                rejected.confirm(0, cells, max(0, at - place))
        over = rejected.over(None)
        if over is not None:
            assert over[0][~allowed].max(initial=-20.0) == -20.0
            if what == "confirm":
                assert over[0][cells].max() == -20.0


@pytest.mark.parametrize("fire", [False, True])
def test_a_rejected_roof_is_not_seen_again_and_a_fire_beside_it_is(
    tmp_path: Path, *, fire: bool
) -> None:
    eye = Eye(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)))

    def look(hot: tuple[int, int] | None, minute: int, *, learn: bool = True) -> float:
        picture: Picture = np.full((256, 320, 3), 90, np.uint8)
        if hot is not None:
            picture[hot[1] : hot[1] + 40, hot[0] : hot[0] + 70] = (20, 20, 230)
        frame = Frame("hill", minute, minute * MINUTE_NS, picture)
        return eye.look(frame, learn=learn).scores["fire"]

    for minute in range(40):
        look(None, minute)
    assert look((50, 100), 40) > 0.5  # raised here
    for minute in range(41, 50):
        assert look((50, 100), minute, learn=False) > 0.5
    for minute in range(50, 59):
        look(None, minute)
    box = (50 / 320, 100 / 256, 70 / 320, 40 / 256)
    eye.answered(Answer("fire", box, 40 * MINUTE_NS, fire))
    look(None, 59)
    assert (look((50, 100), 60) > 0.5) is fire
    assert look((220, 20), 61) > 0.5


def test_a_verdict_that_no_look_had_taken_yet_counts_after_a_restart(tmp_path: Path) -> None:
    detector = load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS))

    def look(eye: Eye, minute: int, *, roof: bool, learn: bool = True) -> float:
        picture: Picture = np.full((256, 320, 3), 90, np.uint8)
        if roof:
            picture[100:140, 50:120] = (20, 20, 230)
        return eye.look(Frame("hill", minute, minute * MINUTE_NS, picture), learn=learn).scores[
            "fire"
        ]

    eye = Eye(detector)
    for minute in range(40):
        look(eye, minute, roof=False)
    for minute in range(40, 50):
        assert look(eye, minute, roof=True, learn=minute == 40) > 0.5
    eye.answered(Answer("fire", (50 / 320, 100 / 256, 70 / 320, 40 / 256), 40 * MINUTE_NS, False))
    new = Eye(detector)
    assert new.goes_on(eye.kept()) == set()
    for answer in eye.unlearned():
        new.answered(answer)
    look(new, 50, roof=True, learn=False)
    assert look(new, 51, roof=True, learn=False) < 0.5
    assert new.unlearned() == ()


def test_a_verdict_that_comes_before_the_next_look_counts(tmp_path: Path) -> None:
    eye = Eye(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)))
    for minute in range(45):
        picture: Picture = np.full((256, 320, 3), 90, np.uint8)
        if minute >= 40:
            picture[100:140, 50:120] = (20, 20, 230)
        frame = Frame("hill", minute, minute * MINUTE_NS, picture)
        seen = eye.look(frame, learn=minute < 41)
        if minute == 40:  # a frame a minute: raised here, and rejected at once
            box = (50 / 320, 100 / 256, 70 / 320, 40 / 256)
            eye.answered(Answer("fire", box, 40 * MINUTE_NS, fire=False))
    assert seen.scores["fire"] < 0.35
