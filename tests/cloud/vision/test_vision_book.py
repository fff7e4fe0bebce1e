from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cloud.vision.pictures import VisionRules
from tests.cloud.vision.desk import BIG, KEY, SMALL, Desk, name, seen
from tocsin.contract.evidence import MAX_PART_BYTES, Detection, Growth
from tocsin.errors import BadRequestError, NotFoundError


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, VisionRules(), {"gw-1": KEY})


def test_small_pictures_are_asked_for_and_the_rest_when_somebody_wants_to_see_it(
    desk: Desk,
) -> None:
    desk.tell(seen(("thumbnail", SMALL), ("clip", BIG)))
    assert desk.asks == [("gw-1", name(SMALL), 0)]
    desk.bring(SMALL)
    assert desk.states() == {"thumbnail": "here", "clip": "offered"}
    assert Path(str(desk.book.look(name(SMALL), "ann", None)["path"])).read_bytes() == SMALL
    desk.book.want(name(BIG), None)
    assert desk.asks[1:] == [("gw-1", name(BIG), 0)]
    assert [v["account"] for v in desk.book.gallery.seen_by("d-1")] == ["ann"]


def test_what_was_cut_off_goes_on_from_the_byte_that_is_here(desk: Desk) -> None:
    desk.tell(seen(("at", BIG)))
    desk.bring(BIG)
    desk.bring(BIG, 2 * MAX_PART_BYTES)  # beyond a hole
    desk.book.resend("gw-1")
    assert desk.asks == [("gw-1", name(BIG), 0), ("gw-1", name(BIG), MAX_PART_BYTES)]
    desk.bring(BIG, MAX_PART_BYTES)
    desk.bring(BIG, 2 * MAX_PART_BYTES)
    assert desk.states() == {"at": "here"}


def test_nothing_that_is_not_what_its_name_says_is_ever_shown(desk: Desk) -> None:
    desk.tell(seen(("thumbnail", SMALL)))
    other = os.urandom(len(SMALL))
    for _ in range(3):
        desk.bring(other, whole=SMALL)
    assert desk.states() == {"thumbnail": "wrong"}
    with pytest.raises(NotFoundError, match="not here: wrong"):
        desk.book.look(name(SMALL), "ann", None)
    assert [p for p in desk.folder.rglob("*") if p.is_file()] == []


def test_a_thumbnail_that_comes_before_its_event_is_not_asked_for(desk: Desk) -> None:
    desk.bring(SMALL)
    desk.tell(seen(("thumbnail", SMALL)))
    assert desk.states() == {"thumbnail": "here"}
    assert desk.asks == []


def test_what_nobody_named_is_let_go_of(desk: Desk) -> None:
    desk.bring(BIG)
    for i in range(70):
        desk.bring(bytes([i]) * 900)
    assert desk.book.counts["parts_unasked"] == 7
    assert not desk.folder.exists()


def test_a_silent_gateway_is_asked_again_and_a_picture_it_lost_is_given_up(desk: Desk) -> None:
    desk.tell(seen(("thumbnail", SMALL)))
    desk.book.expire()
    desk.clock.advance(31.0)
    desk.book.expire()
    assert len(desk.asks) == 2
    desk.gone(name(SMALL))
    desk.clock.advance(31.0)
    desk.book.expire()
    assert (len(desk.asks), desk.states()) == (2, {"thumbnail": "gone"})
    with pytest.raises(BadRequestError, match="gone"):
        desk.book.want(name(SMALL), None)


def test_a_detection_is_followed_and_the_last_word_of_a_person_stays(desk: Desk) -> None:
    desk.tell(seen(t=10, score=0.7))
    desk.book.judge("d-1", "rejected", "ann", "low cloud", {"north"})
    desk.tell(seen(t=30, score=0.6, change="ended"))
    desk.tell(seen(t=20, score=0.9, change="updated"))  # late
    row = desk.book.gallery.row("d-1", None)
    got = [row[k] for k in ("score", "confirmed_ns", "seen_ns", "ended_ns", "verdict", "note")]
    assert got == [0.7, 10, 30, 30, "rejected", "low cloud"]
    assert desk.told[-1]["verdict_by"] == "ann"


def test_a_fire_that_grew_keeps_the_box_it_was_confirmed_in_and_the_verdict(desk: Desk) -> None:
    desk.tell(seen(("at", BIG), t=10))
    desk.book.judge("d-1", "confirmed", "ann", "", None)
    grown = Growth(4.1, (0.05, 0.1, 0.6, 0.8), 500)
    larger = msgspec.structs.replace(seen(("at", BIG), t=500, score=0.99, change="updated"), grown=grown)  # fmt: skip
    desk.tell(larger)
    told = desk.told[-1]
    assert msgspec.convert(told["told"], Detection).grown == grown
    assert (told["box"], told["verdict"], told["ended_ns"]) == ([0.1, 0.2, 0.3, 0.4], "confirmed", None)  # fmt: skip
    desk.tell(msgspec.structs.replace(larger, change="ended", t=900))
    assert msgspec.convert(desk.told[-1]["told"], Detection).grown == grown


@pytest.mark.parametrize("label", ["", "s" * 65])
def test_a_class_that_no_database_holds_is_counted_and_the_next_detection_taken(
    desk: Desk, label: str
) -> None:
    desk.tell(msgspec.structs.replace(seen(detection="d-0"), label=label))
    assert desk.book.counts["detections_unreadable"] == 1
    with pytest.raises(NotFoundError):
        desk.book.gallery.row("d-0", None)
    desk.tell(msgspec.structs.replace(seen(), label="s" * 64))
    assert desk.book.gallery.row("d-1", None)["label"] == "s" * 64


@pytest.mark.parametrize("back_ns", [2_000_000_000, 3600 * 10**9])
def test_an_ending_is_taken_whatever_the_clock_says(desk: Desk, back_ns: int) -> None:
    """Its frame is older than the pictures told before it, or the gateway's clock was set back."""
    now_ns = desk.clock.now_ns()
    desk.tell(seen(t=now_ns))
    desk.tell(seen(("at", BIG), change="updated", t=now_ns))
    desk.tell(seen(change="ended", t=now_ns - back_ns))
    assert desk.book.gallery.row("d-1", None)["ended_ns"] == now_ns - back_ns
    desk.tell(seen(("clip", SMALL), change="ended", t=now_ns + 5))  # its clip was ready later
    row = desk.book.gallery.row("d-1", None)
    assert row["ended_ns"] == now_ns - back_ns
    assert desk.told[-1]["ended_ns"] == now_ns - back_ns
    assert desk.states() == {"at": "wanted", "clip": "offered"}


def test_two_things_in_one_frame_both_show_its_picture(desk: Desk) -> None:
    desk.tell(seen(("at", BIG), ("thumbnail", SMALL)))
    desk.tell(seen(("at", BIG), ("thumbnail", SMALL + b"2"), detection="d-2"))
    assert desk.states("d-2") == desk.states() == {"at": "wanted", "thumbnail": "wanted"}


def test_nobody_sees_or_judges_what_another_site_saw(desk: Desk) -> None:
    desk.tell(seen(("thumbnail", SMALL)))
    desk.bring(SMALL)
    tries: list[Callable[[], object]] = [
        lambda: desk.book.gallery.row("d-1", {"south"}),
        lambda: desk.book.look(name(SMALL), "bob", {"south"}),
        lambda: desk.book.want(name(SMALL), {"south"}),
        lambda: desk.book.judge("d-1", "confirmed", "bob", "", {"south"}),
    ]
    for refused in tries:
        with pytest.raises(NotFoundError):
            refused()
    assert desk.book.gallery.rows(sites={"south"}) == []


def test_a_detection_of_another_gateway_is_not_changed(desk: Desk) -> None:
    desk.tell(seen(t=10))
    desk.tell(seen(t=30, change="ended"), gateway="gw-2")
    assert desk.book.gallery.row("d-1", None)["ended_ns"] is None
    assert desk.book.counts["detections_of_another"] == 1


def test_without_a_key_nothing_is_asked_and_it_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path, VisionRules(), {})
    desk.tell(seen(("clip", BIG)))
    with pytest.raises(BadRequestError, match="no command key"):
        desk.book.want(name(BIG), None)
