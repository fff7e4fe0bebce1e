from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from cloud.db import open_engine, read, upgrade
from cloud.vision.book import VisionBook
from cloud.vision.pictures import VisionRules
from cloud.vision.shelf import Shelf
from cloud.vision.tables import views
from tocsin.contract.evidence import (
    MAX_PART_BYTES,
    Detection,
    EvidencePart,
    Exhibit,
    decode_ask,
)
from tocsin.contract.messages import VERSION, Event
from tocsin.errors import BadRequestError, NotFoundError
from tocsin.sdk import SystemClock

KEY = b"k" * 32
SMALL, BIG = os.urandom(900), os.urandom(2 * MAX_PART_BYTES + 5)


class LaterClock(SystemClock):
    """The system's clock, moved on."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns

    def advance(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * 1e9)


def name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Desk:
    """A book, and the asks it sent."""

    def __init__(self, folder: Path, rules: VisionRules, keys: dict[str, bytes]) -> None:
        self.clock = LaterClock()
        self.engine = engine = open_engine(folder / "state.db")
        upgrade(engine)
        self.asks: list[tuple[str, str, int]] = []
        self.told: list[dict[str, object]] = []
        self.viewed: list[dict[str, object]] = []
        self.folder = folder / "evidence"
        self.book = VisionBook(
            engine, self.clock, Shelf(self.folder), rules, keys=keys, changed=self.told.append,
            viewed=self.viewed.append, send=self._send,
        )  # fmt: skip

    def _send(self, topic: str, payload: bytes) -> None:
        ask = decode_ask(payload, KEY)
        assert topic.endswith(f"/{ask.gateway}/down/evidence")
        self.asks.append((ask.gateway, ask.sha256, ask.offset))

    def tell(self, told: Detection, gateway: str = "gw-1", site: str = "north") -> None:
        data = msgspec.to_builtins(told)
        event = Event(VERSION, site, gateway, "s", 1, "vision.detection", told.t, "cam-1", "", data)
        self.book.on_event(event, told.t)

    def gone(self, sha256: str) -> None:
        data: dict[str, object] = {"sha256": sha256}
        self.book.on_event(
            Event(VERSION, "north", "gw-1", "s", 2, "evidence.gone", 1, "", "", data), 1
        )

    def bring(self, data: bytes, offset: int = 0, *, whole: bytes | None = None) -> None:
        whole = whole or data
        part = data[offset : offset + MAX_PART_BYTES]
        self.book.on_part(EvidencePart(1, "north", "gw-1", name(whole), offset, len(data), part))

    def states(self, detection: str = "d-1") -> dict[str, str]:
        row = self.book.gallery.row(detection, None)
        pictures = row["evidence"]
        assert isinstance(pictures, list)
        return {p["role"]: p["state"] for p in pictures}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, VisionRules(), {"gw-1": KEY})


def seen(
    *exhibits: tuple[str, bytes], detection: str = "d-1", change: str = "confirmed", t: int = 10,
    score: float = 0.8,
) -> Detection:  # fmt: skip
    shown = [
        msgspec.convert(
            {"sha256": name(b), "role": r, "media": "image/jpeg", "size": len(b), "t": t}, Exhibit
        )
        for r, b in exhibits
    ]
    told = msgspec.convert({
        "detection": detection, "change": change, "label": "smoke", "score": score,
        "box": (0.1, 0.2, 0.3, 0.4), "t": t,
    }, Detection)  # fmt: skip
    return msgspec.structs.replace(told, evidence=shown)


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


def test_a_picture_that_is_whole_but_was_never_put_in_its_place_is_not_asked_for_again(
    desk: Desk,
) -> None:
    """The process ended, or the disk refused, between the last byte and the rename."""
    stuck = [os.urandom(900) for _ in range(5)]
    drafts = desk.folder / "parts"
    drafts.mkdir(parents=True)
    for i, data in enumerate(stuck):
        (drafts / name(data)).write_bytes(data if i else os.urandom(900))
        desk.tell(seen(("thumbnail", data), detection=f"d-{i}"))
    assert [desk.states(f"d-{i}")["thumbnail"] for i in range(5)] == ["wanted", *["here"] * 4]
    assert desk.told[-1]["detection"] == "d-4"
    desk.clock.advance(31.0)
    desk.book.expire()
    assert desk.asks == [("gw-1", name(stuck[0]), 0)]  # that draft was another's
    assert list(drafts.iterdir()) == []


def test_what_never_comes_keeps_nothing_else_from_its_turn(desk: Desk) -> None:
    for i in range(6):
        desk.tell(seen(("thumbnail", SMALL + bytes([i])), detection=f"d-{i}", t=10 + i))
    assert len(desk.asks) == 4  # at once
    desk.clock.advance(31.0)
    desk.book.expire()
    assert {sha for _, sha, _ in desk.asks} == {name(SMALL + bytes([i])) for i in range(6)}
    later = os.urandom(5000)
    desk.tell(seen(("thumbnail", later), detection="d-9"))
    desk.clock.advance(31.0)
    desk.book.expire()
    assert ("gw-1", name(later), 0) in desk.asks[-4:]


def test_a_picture_of_another_size_than_was_told_is_given_up(desk: Desk) -> None:
    desk.tell(seen(("thumbnail", SMALL)))
    for _ in range(3):
        desk.bring(SMALL + b"1", whole=SMALL)
    assert desk.states() == {"thumbnail": "wrong"}


def test_a_detection_is_followed_and_the_last_word_of_a_person_stays(desk: Desk) -> None:
    desk.tell(seen(t=10, score=0.7))
    desk.book.judge("d-1", "rejected", "ann", "low cloud", {"north"})
    desk.tell(seen(t=30, score=0.6, change="ended"))
    desk.tell(seen(t=20, score=0.9, change="updated"))  # late
    row = desk.book.gallery.row("d-1", None)
    got = [row[k] for k in ("score", "confirmed_ns", "seen_ns", "ended_ns", "verdict", "note")]
    assert got == [0.7, 10, 30, 30, "rejected", "low cloud"]
    assert desk.told[-1]["verdict_by"] == "ann"


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


def test_the_oldest_pictures_go_when_there_is_no_room_and_what_was_seen_stays(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, VisionRules(max_bytes=1000), {"gw-1": KEY})
    for i in range(3):
        desk.tell(
            seen(("thumbnail", SMALL + bytes([i])), detection=f"d-{i}", t=desk.clock.now_ns())
        )
        desk.bring(SMALL + bytes([i]))
        desk.clock.advance(1.0)
    desk.book.keep()
    assert [desk.states(f"d-{i}")["thumbnail"] for i in range(3)] == ["dropped", "dropped", "here"]
    assert len([p for p in desk.folder.rglob("*") if p.is_file()]) == 1


def test_without_a_key_nothing_is_asked_and_it_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path, VisionRules(), {})
    desk.tell(seen(("clip", BIG)))
    with pytest.raises(BadRequestError, match="no command key"):
        desk.book.want(name(BIG), None)


def test_only_the_newest_picture_for_the_wall_is_kept_with_who_looked_at_it(desk: Desk) -> None:
    for i in range(3):
        data = SMALL + bytes([i])
        shown = Exhibit(name(data), "view", "image/jpeg", len(data), 10 + i)
        event = Event(
            VERSION, "north", "gw-1", "s", i, "vision.view", 10 + i, "cam-1", "", msgspec.to_builtins(shown)
        )  # fmt: skip
        desk.book.on_event(event, 10 + i)
        desk.bring(data)
        desk.book.look(name(data), "ann", None)
    assert [v["t_ns"] for v in desk.viewed] == [10, 11, 12]
    assert desk.viewed[-1]["sha256"] == name(SMALL + bytes([2]))
    (view,) = desk.book.gallery.views()
    assert view["sha256"] == name(SMALL + bytes([2]))
    assert len([p for p in desk.folder.rglob("*") if p.is_file()]) == 1
    with read(desk.engine) as c:
        assert c.scalar(select(func.count()).select_from(views)) == 1
