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


@given(
    st.lists(st.tuples(st.sampled_from(["burn", "quiet", "reject", "confirm"]), st.integers(0, 9)), max_size=60)
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
