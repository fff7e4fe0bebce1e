from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.evidence import EvidenceDesk, EvidenceRing
from edge.evidence.views import Views
from edge.evidence.writing import MOST_HELD_BYTES
from tocsin.contract.evidence import (
    MAX_PART_BYTES,
    VERSION,
    EvidenceAsk,
    decode_part,
    sign_ask,
)
from tocsin.errors import EvidenceError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

KEY = b"k" * 32
BIG = os.urandom(3 * MAX_PART_BYTES + 7)


def ring(tmp_path: Path, cap_bytes: int = 1 << 20) -> EvidenceRing:
    return EvidenceRing(tmp_path / "evidence", cap_bytes)


class Line:
    """What a session takes, until it is cut."""

    def __init__(self, parts: int | None = None) -> None:
        self.got = bytearray()
        self.left = parts
        self.whole = asyncio.Event()

    async def publish(self, payload: bytes) -> None:
        if self.left == 0:
            raise ConnectionError
        part = decode_part(payload)
        assert part.offset <= len(self.got)
        self.got[part.offset :] = part.data
        self.left = None if self.left is None else self.left - 1
        if len(self.got) == part.size:
            self.whole.set()


def desk_of(
    kept: EvidenceRing, said: list[tuple[str, dict[str, object]]] | None = None
) -> EvidenceDesk:
    def say(kind: str, _device: str, _text: str, data: dict[str, object]) -> None:
        if said is not None:
            said.append((kind, data))

    return EvidenceDesk(
        kept,
        site="north",
        gateway="gw-1",
        clock=SystemClock(),
        key=lambda: KEY,
        say=say,
        bytes_per_s=1 << 40,
    )


async def sent(desk: EvidenceDesk, line: Line) -> None:
    running = asyncio.create_task(desk.run(line.publish))
    done = asyncio.create_task(line.whole.wait())
    await asyncio.wait({running, done}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    for task in (running, done):
        task.cancel()
    await asyncio.gather(running, done, return_exceptions=True)


def test_the_oldest_goes_when_there_is_no_room_and_a_restart_finds_the_rest(tmp_path: Path) -> None:
    kept = ring(tmp_path, 250)
    names = [kept.keep(bytes([i]) * 100) for i in range(3)]
    for i, name in enumerate(names):
        if i:
            os.utime(tmp_path / "evidence" / name, (i, i))
    (tmp_path / "evidence" / f"{'0' * 64}.new").write_bytes(b"half")
    again = ring(tmp_path, 250)
    assert again.read(names[0], 0, 10) is None
    assert again.read(names[2], 90, 50) == (100, bytes([2]) * 10)
    assert again.keep(bytes([1]) * 100) == names[1]
    assert again.bytes == 200
    assert kept.counters["evicted"] == 1
    assert sorted(p.name for p in (tmp_path / "evidence").iterdir()) == sorted(names[1:])


def test_what_came_while_the_clock_was_behind_is_the_newest_also_after_a_restart(
    tmp_path: Path,
) -> None:
    kept = ring(tmp_path, 350)
    old = [kept.keep(bytes([i]) * 100) for i in range(2)]
    for i, name in enumerate(old):  # of a clock that was years ahead of the one from now on
        os.utime(tmp_path / "evidence" / name, (4_000_000_000 + i, 4_000_000_000 + i))
    alarm = ring(tmp_path, 350).keep(bytes([2]) * 100)
    again = ring(tmp_path, 350)
    again.keep(bytes([3]) * 100)
    assert [again.read(name, 0, 1) is not None for name in (*old, alarm)] == [False, True, True]


def test_what_is_larger_than_the_ring_is_refused_and_nothing_goes(tmp_path: Path) -> None:
    kept = ring(tmp_path, 250)
    name = kept.keep(b"a" * 100)
    with pytest.raises(EvidenceError, match="300 bytes, and the ring holds 250"):
        kept.keep(b"b" * 300)
    assert kept.read(name, 0, 1) == (100, b"a")


def test_what_cannot_be_removed_still_counts_and_the_next_oldest_goes(tmp_path: Path) -> None:
    kept, folder = ring(tmp_path, 350), tmp_path / "evidence"
    names = [kept.keep(bytes([i]) * 100) for i in range(3)]
    (folder / names[0]).unlink()
    (folder / names[0]).mkdir()  # no call that removes files removes this
    new = kept.keep(b"n" * 100)
    assert kept.bytes == 300
    assert [(folder / name).exists() for name in (*names, new)] == [True, False, True, True]
    assert (kept.counters["not_removed"], kept.counters["evicted"]) == (1, 1)


def test_a_full_ring_of_which_nothing_can_be_removed_takes_no_more_until_it_can(
    tmp_path: Path,
) -> None:
    kept, folder = ring(tmp_path, 250), tmp_path / "evidence"
    names = [kept.keep(bytes([i]) * 100) for i in range(2)]
    for name in names:
        (folder / name).unlink()
        (folder / name).mkdir()
    with pytest.raises(EvidenceError, match="cannot be removed"):
        kept.keep(b"n" * 100)
    assert (kept.bytes, sorted(p.name for p in folder.iterdir())) == (200, sorted(names))
    for name in names:
        (folder / name).rmdir()
        (folder / name).touch()
    assert kept.read(kept.keep(b"n" * 100), 0, 1) == (100, b"n")


async def test_a_disk_that_refuses_costs_the_picture_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "evidence").write_text("in the way")
    desk = desk_of(ring(tmp_path))
    assert [await desk.keep(b"a"), await desk.keep(b"b")] == ["", ""]
    (tmp_path / "evidence").unlink()
    assert await desk.keep(b"a") == hashlib.sha256(b"a").hexdigest()
    assert [r.message.split(":")[0] for r in caplog.records] == [
        "pictures are not kept", "pictures are kept again",
    ]  # fmt: skip


async def test_a_session_that_breaks_goes_on_from_the_same_byte(tmp_path: Path) -> None:
    kept = ring(tmp_path)
    desk, line = desk_of(kept), Line(parts=2)
    desk.offer(kept.keep(BIG))
    await sent(desk, line)
    assert len(line.got) == 2 * MAX_PART_BYTES
    line.left = None
    await sent(desk, line)
    assert bytes(line.got) == BIG
    assert desk.counters["parts"] == 4


async def test_the_cloud_gets_what_it_asks_for_from_the_byte_it_names(tmp_path: Path) -> None:
    kept = ring(tmp_path)
    desk, line = desk_of(kept), Line()
    line.got += BIG[:MAX_PART_BYTES]
    ask = EvidenceAsk(VERSION, "north", "gw-1", kept.keep(BIG), MAX_PART_BYTES)
    await desk.take(sign_ask(ask, KEY))
    await sent(desk, line)
    assert bytes(line.got) == BIG
    assert desk.counters["parts"] == 3


async def test_an_ask_without_the_right_signature_or_for_another_gateway_moves_nothing(
    tmp_path: Path,
) -> None:
    kept = ring(tmp_path)
    desk = desk_of(kept)
    name = kept.keep(BIG)
    for payload in (
        sign_ask(EvidenceAsk(VERSION, "north", "gw-1", name), b"other"),
        sign_ask(EvidenceAsk(VERSION, "north", "gw-2", name), KEY),
        b"{}", b"\xff", b"",
    ):  # fmt: skip
        await desk.take(payload)
    assert desk.counters == {"asks_refused": 5}


async def test_what_is_not_kept_any_more_is_told(tmp_path: Path) -> None:
    said: list[tuple[str, dict[str, object]]] = []
    kept = ring(tmp_path)
    desk, line = desk_of(kept, said), Line()
    desk.offer("0" * 64)
    desk.offer(kept.keep(BIG))
    await sent(desk, line)
    assert bytes(line.got) == BIG
    assert said == [("evidence.gone", {"sha256": "0" * 64})]


def test_what_is_not_the_rings_own_is_neither_counted_nor_removed(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    (folder / "lost+found").mkdir(parents=True)
    (folder / ("f" * 64)).mkdir()
    (folder / "note.txt").write_text("of a colleague")
    (folder / "half.new").write_text("of another program")
    kept = ring(tmp_path, 250)
    names = [kept.keep(bytes([i]) * 100) for i in range(3)]
    assert (kept.bytes, kept.read(names[2], 0, 1)) == (200, (100, bytes([2])))
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*names[1:], "f" * 64, "half.new", "lost+found", "note.txt"]
    )


async def test_what_the_disk_cannot_tell_now_is_not_told_as_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[tuple[str, dict[str, object]]] = []
    kept = ring(tmp_path)
    desk, folder = desk_of(kept, said), tmp_path / "evidence"
    name = kept.keep(BIG)

    async def asked() -> bytes:
        line = Line()
        before = desk.counters["unreadable"] + len(said)
        desk.offer(name)
        running = asyncio.create_task(desk.run(line.publish))
        await wait_until(
            lambda: line.whole.is_set() or desk.counters["unreadable"] + len(said) > before
        )
        running.cancel()
        return bytes(line.got)

    folder.rename(tmp_path / "away")  # a disk that is not mounted
    assert await asked() == b""
    (tmp_path / "away").rename(folder)
    (folder / name).rename(tmp_path / "picture")
    (folder / name).mkdir()  # any error but that there is none
    assert await asked() == b""
    assert (said, desk.counters["unreadable"], len(caplog.records)) == ([], 2, 1)
    (folder / name).rmdir()
    assert await asked() == b""
    assert said == [("evidence.gone", {"sha256": name})]
    (tmp_path / "picture").rename(folder / name)
    assert await asked() == BIG


async def test_a_ring_that_cannot_be_opened_at_the_start_tells_nothing_as_gone(
    tmp_path: Path,
) -> None:
    name = ring(tmp_path).keep(BIG)
    (tmp_path / "evidence").rename(tmp_path / "away")
    (tmp_path / "evidence").write_text("in the way")
    kept = ring(tmp_path)
    with pytest.raises(EvidenceError):
        kept.read(name, 0, 10)
    (tmp_path / "evidence").unlink()
    (tmp_path / "away").rename(tmp_path / "evidence")
    assert kept.read(name, 0, 10) == (len(BIG), BIG[:10])


class SlowRing(EvidenceRing):
    """A disk that takes as long as it is told to."""

    def __init__(self, folder: Path, *, fails: bool = False) -> None:
        super().__init__(folder, 1 << 30)
        self.lets, self._fails = threading.Event(), fails

    def keep(self, data: bytes) -> str:
        assert self.lets.wait(30)
        if self._fails:
            raise EvidenceError("the disk refused")
        return super().keep(data)


async def test_an_alarm_does_not_wait_for_a_slow_disk_and_its_picture_is_sent_meanwhile(
    tmp_path: Path,
) -> None:
    slow, line, said = (
        SlowRing(tmp_path / "evidence"),
        Line(),
        list[tuple[str, dict[str, object]]](),
    )
    desk = desk_of(slow, said)
    try:
        sha256 = await asyncio.wait_for(desk.keep(BIG), 10)
        assert sha256 == hashlib.sha256(BIG).hexdigest()
        desk.offer(sha256)
        await sent(desk, line)
        assert bytes(line.got) == BIG
    finally:
        slow.lets.set()
    await wait_until(lambda: slow.counters["kept"] == 1)
    assert slow.read(sha256, 0, 5) == (len(BIG), BIG[:5])
    assert said == []


async def test_beyond_what_memory_may_hold_pictures_are_refused_until_the_disk_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SlowRing(tmp_path / "evidence")
    desk = desk_of(slow)
    half = MOST_HELD_BYTES // 2
    try:
        kept = [await desk.keep(bytes([i]) * half) for i in range(2)]
        assert all(kept)
        assert await desk.keep(b"one more") == ""
        assert "does not keep up" in caplog.text
    finally:
        slow.lets.set()
    await wait_until(lambda: slow.counters["kept"] == 2)
    assert await desk.keep(b"one more") != ""


async def test_what_a_slow_disk_refuses_in_the_end_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slow, said = SlowRing(tmp_path / "evidence", fails=True), list[tuple[str, dict[str, object]]]()
    desk = desk_of(slow, said)
    sha256 = await desk.keep(b"a picture")
    assert sha256
    slow.lets.set()
    await wait_until(lambda: "a picture was not kept" in caplog.text)
    desk.offer(sha256)
    running = asyncio.create_task(desk.run(Line().publish))
    await wait_until(lambda: bool(said))
    running.cancel()
    assert said[0][0] == "evidence.gone"


class Cloud:
    """What a session takes, by hash, in the order in which it was whole; it takes nothing while `lets` is clear."""

    def __init__(self) -> None:
        self.got: dict[str, bytes] = {}
        self.lets = asyncio.Event()
        self.lets.set()

    async def publish(self, payload: bytes) -> None:
        await self.lets.wait()
        part = decode_part(payload)
        self.got[part.sha256] = self.got.get(part.sha256, b"") + part.data


@asynccontextmanager
async def session(desk: EvidenceDesk, cloud: Cloud) -> AsyncIterator[None]:
    running = asyncio.create_task(desk.run(cloud.publish))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_view_is_sent_and_asked_for_from_memory_and_the_ring_has_evidence_alone(
    tmp_path: Path,
) -> None:
    kept = ring(tmp_path, 250)
    desk, cloud = desk_of(kept), Cloud()
    alarm = await desk.keep(b"a" * 200)
    async with session(desk, cloud):
        for i in range(50):
            view = desk.view("cam-01", bytes([i]) * 100)
            desk.offer(view)
            await wait_until(lambda view=view: view in cloud.got)
        cloud.got.clear()
        await desk.take(sign_ask(EvidenceAsk(VERSION, "north", "gw-1", view, 40), KEY))
        await wait_until(lambda: view in cloud.got)
    assert cloud.got == {view: bytes([49]) * 60}
    assert kept.read(alarm, 0, 1) == (200, b"a")
    assert [p.name for p in (tmp_path / "evidence").iterdir()] == [alarm]


async def test_a_view_that_a_newer_one_replaced_is_not_sent_and_evidence_goes_before_views(
    tmp_path: Path,
) -> None:
    said: list[tuple[str, dict[str, object]]] = []
    desk, cloud = desk_of(ring(tmp_path), said), Cloud()
    cloud.lets.clear()
    async with session(desk, cloud):
        first = await desk.keep(b"first")
        desk.offer(first)
        old = desk.view("cam-01", b"old")
        desk.offer(old)
        new, other = desk.view("cam-01", b"new"), desk.view("cam-02", b"other")
        for name in (new, other):
            desk.offer(name)
        alarm = await desk.keep(BIG)
        desk.offer(alarm)
        cloud.lets.set()
        await wait_until(lambda: {new, other} <= set(cloud.got))
    assert list(cloud.got) == [first, alarm, new, other]
    assert (cloud.got[alarm], said) == (BIG, [])


async def test_no_view_is_taken_while_no_cloud_is_connected(tmp_path: Path) -> None:
    desk = desk_of(ring(tmp_path))
    assert desk.view("cam-01", b"a") == ""
    async with session(desk, Cloud()):
        assert desk.view("cam-01", b"a") == hashlib.sha256(b"a").hexdigest()
    assert desk.view("cam-01", b"b") == ""


def test_when_there_is_no_room_the_oldest_cameras_view_goes_and_the_same_picture_stays_for_another() -> (
    None
):
    views = Views(250)
    first, _ = views.keep("cam-01", b"a" * 100)
    views.keep("cam-02", b"b" * 100)
    assert views.keep("cam-03", b"a" * 100) == (first, [])
    third, gone = views.keep("cam-04", b"c" * 100)
    assert gone == [hashlib.sha256(b"b" * 100).hexdigest()]
    assert views.read(first, 90, 50) == (100, b"a" * 10)
    assert third in views
    assert views.keep("cam-05", b"d" * 300) == ("", [])
    assert views.keep("cam-04", b"e" * 100)[1] == [third]
