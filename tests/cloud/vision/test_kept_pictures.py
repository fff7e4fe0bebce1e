"""Pictures on their way, on the disk, and until they go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import insert

from cloud.db import upgrade
from cloud.db.upgrade import downgrade
from cloud.vision.pictures import VisionRules
from cloud.vision.tables import views
from tests.cloud.vision.desk import BIG, KEY, SMALL, Desk, name, refuses, seen, view
from tocsin.contract.evidence import MAX_PART_BYTES
from tocsin.errors import FolderError


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, VisionRules(), {"gw-1": KEY})


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


def test_a_picture_that_the_disk_does_not_let_go_of_is_said_once_and_the_others_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path, VisionRules(keep_days=1), {"gw-1": KEY})
    for i in range(2):
        data = SMALL + bytes([i])
        desk.tell(seen(("thumbnail", data), detection=f"d-{i}", t=desk.clock.now_ns()))
        desk.bring(data)
    path = refuses(desk, SMALL + bytes([0]))
    desk.clock.advance(5 * 86_400)
    desk.book.keep()
    desk.book.keep()
    assert [desk.states(f"d-{i}")["thumbnail"] for i in range(2)] == ["here", "dropped"]
    assert desk.book.counts["not_dropped"] == 1  # tried again a minute later
    assert [r.message.split(":")[0] for r in caplog.records] == [
        f"picture {path.name} cannot be dropped"
    ]
    path.rmdir()
    desk.clock.advance(61.0)
    desk.book.keep()
    assert desk.states("d-0") == {"thumbnail": "dropped"}


def test_a_picture_for_the_wall_that_cannot_be_dropped_goes_with_the_next(desk: Desk) -> None:
    pictures = [SMALL + bytes([i]) for i in range(3)]
    view(desk, pictures[0], 10)
    path = refuses(desk, pictures[0])
    view(desk, pictures[1], 11)
    assert [v["sha256"] for v in desk.book.gallery.views()] == [name(pictures[1])]
    path.rmdir()
    path.write_bytes(pictures[0])
    view(desk, pictures[2], 12)
    assert len([p for p in desk.folder.rglob("*") if p.is_file()]) == 1
    assert desk.book.counts["not_dropped"] == 1


def test_a_disk_that_does_not_take_a_whole_picture_is_tried_again(desk: Desk) -> None:
    place = desk.folder / name(SMALL)[:2] / name(SMALL)
    place.mkdir(parents=True)
    desk.tell(seen(("thumbnail", SMALL)))
    with pytest.raises(FolderError):
        desk.bring(SMALL)
    for _ in range(2):
        desk.clock.advance(31.0)
        desk.book.expire()
    assert desk.book.counts["pictures_not_kept"] == 2
    place.rmdir()
    desk.clock.advance(31.0)
    desk.book.expire()
    assert desk.states() == {"thumbnail": "here"}
    assert len(desk.asks) == 1


def test_a_picture_goes_by_its_own_age_whatever_lies_before_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, VisionRules(keep_days=10), {"gw-1": KEY})
    now_ns, day_ns = desk.clock.now_ns(), 86_400 * 10**9
    taken = {"ahead": now_ns + 3650 * day_ns, "young": now_ns, "fetched late": now_ns - 9 * day_ns,
             "never set": 10 * day_ns}  # fmt: skip
    for i, (what, t) in enumerate(taken.items()):
        desk.tell(seen(("thumbnail", SMALL + bytes([i])), detection=what, t=t))
        desk.bring(SMALL + bytes([i]))
    desk.clock.advance(5 * 86_400)
    desk.book.keep()
    assert {w for w in taken if desk.states(w)["thumbnail"] == "dropped"} == {"fetched late"}
    desk.clock.advance(6 * 86_400)
    desk.book.keep()
    assert {w for w in taken if desk.states(w)["thumbnail"] == "dropped"} == taken.keys()


def test_what_never_came_whole_counts_and_goes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, VisionRules(keep_days=10, max_bytes=MAX_PART_BYTES), {"gw-1": KEY})
    now_ns = desk.clock.now_ns()
    desk.tell(seen(("thumbnail", SMALL), t=now_ns))
    desk.bring(SMALL)
    desk.tell(seen(("at", BIG), detection="d-2", t=now_ns))
    desk.bring(BIG)
    lost = os.urandom(MAX_PART_BYTES + 1)
    desk.tell(seen(("at", lost), detection="d-3", t=now_ns))
    desk.bring(lost)
    desk.gone(name(lost))
    desk.book.keep()
    assert desk.states() == {"thumbnail": "dropped"}  # the begun one takes all the room
    assert [p.name for p in (desk.folder / "parts").iterdir()] == [name(BIG)]
    desk.clock.advance(11 * 86_400)
    desk.book.keep()
    assert list((desk.folder / "parts").iterdir()) == []
    assert desk.states("d-2") == {"at": "dropped"}
    assert desk.book.counts["drafts_dropped"] == 2


def test_the_wall_shows_what_came_last_whatever_a_gateways_clock_said(desk: Desk) -> None:
    now_ns = desk.clock.now_ns()
    ages_s = (0, 3600, -7200, -7140)  # ahead, then set back too far
    for i, age_s in enumerate(ages_s):
        view(desk, SMALL + bytes([i]), now_ns + age_s * 10**9)
        (shown,) = desk.book.gallery.views()
        assert shown["sha256"] == name(SMALL + bytes([i]))
        t_ns = shown["t_ns"]
        assert isinstance(t_ns, int)
        assert t_ns <= desk.clock.now_ns()
    view(desk, SMALL + bytes([3]), now_ns + 10**9)  # the very same picture, a minute later
    (shown,) = desk.book.gallery.views()
    assert shown["t_ns"] != now_ns - 7140 * 10**9
    assert (len(desk.viewed), desk.viewed[-1]["t_ns"]) == (5, shown["t_ns"])


def test_only_the_newest_picture_for_the_wall_is_kept_and_who_looked_at_each(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, VisionRules(keep_days=10), {"gw-1": KEY})
    now_ns = desk.clock.now_ns()
    for i in range(3):
        view(desk, SMALL + bytes([i]), now_ns - 10 + i)
        desk.book.look(name(SMALL + bytes([i])), "ann", None)
    assert [v["t_ns"] for v in desk.viewed] == [now_ns - 10, now_ns - 9, now_ns - 8]
    assert desk.viewed[-1]["sha256"] == name(SMALL + bytes([2]))
    (shown,) = desk.book.gallery.views()
    assert shown["sha256"] == name(SMALL + bytes([2]))
    assert len([p for p in desk.folder.rglob("*") if p.is_file()]) == 1

    def looks() -> list[tuple[object, ...]]:
        told = desk.book.gallery.looked_at("north", "cam-1")
        return [(v["account"], v["role"], v["taken_ns"]) for v in told]

    assert looks() == [("ann", "view", now_ns - 10 + i) for i in (2, 1, 0)]
    assert desk.book.gallery.looked_at("south", "cam-1") == []
    desk.clock.advance(9 * 86_400)
    desk.book.keep()
    assert len(looks()) == 3
    desk.clock.advance(2 * 86_400)
    desk.book.keep()
    assert looks() == []  # as long ago as pictures are kept, and they are gone


def test_looks_of_before_get_the_camera_of_a_picture_that_is_still_known(tmp_path: Path) -> None:
    desk = Desk(tmp_path, VisionRules(), {"gw-1": KEY})
    desk.tell(seen(("thumbnail", SMALL), t=10))
    desk.bring(SMALL)
    desk.book.look(name(SMALL), "ann", None)
    with desk.engine.begin() as c:
        c.execute(insert(views), {"sha256": "0" * 64, "site": "north", "account": "bob", "t_ns": 5})
    downgrade(desk.engine, "0012")
    upgrade(desk.engine)
    (look,) = desk.book.gallery.looked_at("north", "cam-1")
    assert (look["account"], look["role"], look["taken_ns"]) == ("ann", "thumbnail", 10)
    (lost,) = desk.book.gallery.looked_at("north", "")
    assert (lost["account"], lost["role"], lost["taken_ns"]) == ("bob", "", None)
