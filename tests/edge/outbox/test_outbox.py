"""The outbox: numbers, bytes, groups, caps, locks, damage."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.options import OutboxOptions
from edge.outbox import Chunk, Outbox, memory
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Layout, Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.gaps import SALVAGED, THINNED, Gap, gaps_of
from tocsin.contract.messages import (
    VERSION,
    Alarm,
    AlarmChange,
    Batch,
    CommitAck,
    Event,
    StreamAck,
)
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxError, OutboxFullError, OutboxLockedError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until

LAYOUT = Layout("gas-01", "gas", ("h2s", "o2"), "ff")
T0 = 1_700_000_000_000_000_000


def rows(count: int, start: int = 0) -> list[Row]:
    return [Row(LAYOUT, T0 + i * 1_000_000, (float(i), 20.9)) for i in range(start, start + count)]


def alarm(
    number: int, change: AlarmChange = AlarmChange.RAISED, *, note: str = "", t: int = T0
) -> AlarmDraft:
    return AlarmDraft(
        f"alarm-{number}", "gas-01", "gas", "h2s", "h2s-high", change, 1, t, note=note
    )


@asynccontextmanager
async def opened(
    directory: Path, gateway: str = "gw-1", power_on: str = "", **options: object
) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(
        directory,
        site="east",
        gateway=gateway,
        clock=SystemClock(),
        options=OutboxOptions.model_validate({"commit_interval_ms": 20, **options}),
        power_on=power_on,
    )
    try:
        yield outbox
    finally:
        await outbox.aclose()


async def everything(outbox: Outbox, cls: str = topics.TELEMETRY) -> list[Chunk]:
    out: list[Chunk] = []
    while found := await outbox.pending(cls, after=out[-1].id if out else 0):
        out += found
    return out


def values(chunks: list[Chunk]) -> list[float]:
    found: list[float] = []
    for chunk in chunks:
        batch = decode_body(decode_header(chunk.payload), chunk.payload, Batch)
        for group in batch.groups:
            found += [v for v in group.columns[0] if isinstance(v, float)]
    return found


def alarms(chunks: list[Chunk]) -> list[Alarm]:
    return [decode_body(decode_header(c.payload), c.payload, Alarm) for c in chunks]


def markers(chunks: list[Chunk]) -> list[Event]:
    events = [decode_body(decode_header(c.payload), c.payload, Event) for c in chunks]
    return [event for event in events if event.kind == THINNED]


def ack(*chunks: Chunk, ingester: str = "ingest-0") -> CommitAck:
    streams: dict[str, StreamAck] = {}
    for chunk in chunks:
        have = streams.get(chunk.stream, StreamAck(0))
        span = (chunk.first_seq, chunk.first_seq + chunk.rows)
        streams[chunk.stream] = StreamAck(0, [*have.ranges, span])
    return CommitAck(VERSION, ingester, streams)


async def test_sequence_numbers_run_on_over_a_reopening_and_bytes_stay(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(700))
        before = await everything(outbox)
        (stream,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
    async with opened(tmp_path) as outbox:
        assert await everything(outbox) == before
        await outbox.put_rows_durable(rows(5, start=700))
        after = await everything(outbox)
    assert after[: len(before)] == before
    assert [c.first_seq for c in after] == [0, 500, 700]
    assert {c.stream for c in after} == {stream.stream}
    assert values(after) == [float(i) for i in range(705)]


async def test_rows_are_committed_within_the_interval_without_being_asked(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_rows=5000) as outbox:
        await outbox.put_rows(rows(3))
        assert outbox.stats().buffered_rows == 3
        await wait_until(outbox.changed.is_set)
        assert outbox.stats().buffered_rows == 0
        assert outbox.stats().commits == 1
        assert outbox.unjournalled_ms == 20


async def test_a_full_buffer_waits_instead_of_growing_or_dropping(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        for start in range(0, 60_000, 3_000):
            await outbox.put_rows(rows(3_000, start))
            assert outbox.stats().buffered_rows <= 50_000
        await outbox.put_rows_durable(rows(1, 60_000))
        assert outbox.stats().rows == 60_001


async def test_a_wide_scan_is_never_split_over_chunks(tmp_path: Path) -> None:
    wide = Layout("plant", "gas", tuple(f"q{i}" for i in range(100)), "f" * 100)
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable([Row(wide, T0 + i, (1.5,) * 100) for i in range(450)])
        chunks = await everything(outbox)
    assert [c.rows for c in chunks] == [200, 200, 50]


async def test_a_message_too_large_for_the_wire_is_halved(tmp_path: Path) -> None:
    text = Layout("log", "event", ("text",), "s")
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable([Row(text, T0 + i, ("x" * 5_000,)) for i in range(400)])
        chunks = await everything(outbox)
    assert sum(c.rows for c in chunks) == 400
    assert len(chunks) > 1


async def test_a_row_that_no_message_can_carry_is_told_of_and_takes_no_other_with_it(
    tmp_path: Path,
) -> None:
    text = Layout("log", "event", ("text",), "s")
    async with opened(tmp_path) as outbox:
        sent = [Row(text, T0 + i, ("x" * (2 << 20 if i in (3, 5) else 10),)) for i in range(8)]
        await outbox.put_rows_durable(sent)
        chunks = await everything(outbox)
        assert sum(c.rows for c in chunks) == 6
        (marker,) = markers(await everything(outbox, topics.EVENT))
        assert gaps_of(marker) == [Gap(topics.TELEMETRY, "", 0, 2, T0 + 3, T0 + 5, {"log": 2})]
        assert marker.text == "2 rows were given up"
        assert outbox.stats().oversized_rows == 2


async def test_settled_chunks_are_not_handed_out_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(1500))
        first, second, third = await everything(outbox)
        assert await outbox.settle(ack(third)) == 500
        assert await outbox.settle(ack(third)) == 0
        assert await everything(outbox) == [first, second]
        assert outbox.is_settled(third)
        assert not outbox.is_settled(first)
    async with opened(tmp_path) as outbox:
        assert await everything(outbox) == [first, second]
        await outbox.settle(CommitAck(VERSION, "b", {first.stream: StreamAck(500)}))
        refused = StreamAck(0, rejected=[(500, 1000)])
        await outbox.settle(CommitAck(VERSION, "a", {first.stream: refused}))
        assert await everything(outbox) == []
        assert outbox.stats().pending_rows == 0
        assert await outbox.first_pending(topics.TELEMETRY) == await outbox.last_id()


async def test_an_ack_beyond_what_we_have_settles_no_future_row(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(10))
        stream = (await everything(outbox))[0].stream
        await outbox.settle(
            CommitAck(VERSION, "x", {stream: StreamAck(2**62), "0" * 26: StreamAck(5)})
        )
        await outbox.put_rows_durable(rows(10, 10))
        assert [c.first_seq for c in await everything(outbox)] == [10]


async def test_committed_chunks_stay_while_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_committed_bytes=20_000) as outbox:
        for start in range(0, 5_000, 500):
            await outbox.put_rows_durable(rows(500, start))
            (chunk,) = await everything(outbox)
            have = {chunk.stream: StreamAck(start + 500)}
            await outbox.settle(CommitAck(VERSION, "ingest-0", have))
        (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
        assert state.committed == state.next_seq == 5_000
        assert 0 < state.first_kept < 5_000
    kept = sqlite3.connect(tmp_path / "outbox.db")
    (size,) = kept.execute("SELECT sum(bytes) FROM chunk WHERE cls = 'telemetry'").fetchone()
    kept.close()
    assert 0 < size <= 20_000


async def test_when_full_the_oldest_telemetry_goes_with_a_record_and_no_alarm_goes(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, max_bytes=1 << 20, fsync="none") as outbox:
        for i in range(5):
            await outbox.put_alarms([alarm(i)])
        for start in range(0, 150_000, 2_500):
            await outbox.put_rows_durable(rows(2_500, start))
        stats = outbox.stats()
        assert stats.bytes <= 1 << 20
        assert stats.dropped_rows > 0
        left = await everything(outbox)
        assert values(left) == [float(i) for i in range(stats.dropped_rows, 150_000)]
        assert stats.pending_rows == 150_000 - stats.dropped_rows
        assert len(await everything(outbox, topics.ALARM)) == 5
        (marker,) = markers(await everything(outbox, topics.EVENT))  # nobody has seen it so far
        (gap,) = gaps_of(marker)
        gone = stats.dropped_rows
        assert (gap.stream, gap.lo, gap.hi) == (left[0].stream, 0, gone)
        assert (gap.first_ns, gap.last_ns) == (T0, T0 + (gone - 1) * 1_000_000)
        assert gap.devices == {"gas-01": gone}
        await outbox.put_rows_durable(rows(60_000, 150_000))
        first, second = markers(await everything(outbox, topics.EVENT))
        assert first == marker, "it has been handed out: its bytes are final"
        assert gaps_of(second)[0].lo == gone
        stats, left = outbox.stats(), await everything(outbox)
        (state,) = [s for s in outbox.stream_states() if s.cls == topics.TELEMETRY]
        assert state.first_kept == left[0].first_seq
    async with opened(tmp_path, max_bytes=1 << 20) as outbox:
        assert (await everything(outbox))[0] == left[0]


async def test_a_gap_marker_is_committed_with_what_it_tells_of_and_stays_when_events_go(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, max_bytes=1 << 20, fsync="none") as outbox:
        await outbox.put_rows_durable(rows(60_000))
        (thinned,) = markers(await everything(outbox, topics.EVENT))
        for number in range(50):
            await outbox.put_event("note", "", f"{number} " + "n" * 900)
        await _alarms_until_full(outbox)
        told = await everything(outbox, topics.EVENT)
        assert thinned in markers(told)
        gone = [(g.cls, g.lo, g.hi) for event in markers(told) for g in gaps_of(event)]
        missing = {n for cls, lo, hi in gone if cls == topics.EVENT for n in range(lo, hi)}
        seen = {c.first_seq for c in told}
        state = next(s for s in outbox.stream_states() if s.cls == topics.EVENT)
        assert missing | seen == set(range(state.next_seq)), "every event is there or told"
        assert missing


async def test_alarms_take_the_whole_room_and_then_say_so(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=1 << 20, fsync="none") as outbox:
        await outbox.put_rows_durable(rows(20_000))
        stored = await _alarms_until_full(outbox)
        assert stored > 500
        found = alarms(await everything(outbox, topics.ALARM))
        assert [a.seq for a in found] == list(range(stored))
        assert await everything(outbox) == []


async def _alarms_until_full(outbox: Outbox) -> int:
    for number in range(10_000):
        try:
            await outbox.put_alarms([alarm(number, note="n" * 900)])
        except OutboxFullError:
            return number
    raise AssertionError("never full")


async def test_repeats_of_one_alarm_coalesce_until_they_are_handed_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_alarms([alarm(1)])
        for i in range(10):
            await outbox.put_alarms([alarm(1, AlarmChange.REPEATED, t=T0 + 100 + i)])
        first, repeated = await everything(outbox, topics.ALARM)
        await outbox.put_alarms([alarm(1, AlarmChange.REPEATED)])
        found = alarms(await everything(outbox, topics.ALARM))
    assert [a.n for a in found] == [1, 10, 1]
    assert (found[1].first_ns, found[1].last_ns) == (T0 + 100, T0 + 109)
    assert [a.seq for a in found] == [0, 1, 2]
    assert alarms([first, repeated]) == found[:2]


async def test_a_folder_that_cannot_be_made_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "place" / "outbox.lock").mkdir(parents=True)
    for folder in (tmp_path / "file" / "outbox", tmp_path / "place"):
        with pytest.raises(OutboxError, match="cannot be opened"):
            async with opened(folder):
                pass


async def test_a_second_agent_is_kept_out(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(OutboxLockedError, match="in use by process"):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path):
        pass


async def test_an_outbox_of_another_gateway_is_not_sent_as_ours(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with pytest.raises(OutboxError, match="gw-1"):
        async with opened(tmp_path, gateway="gw-2"):
            pass


def _damaged_files(directory: Path) -> list[Path]:
    return list(directory.glob("outbox-damaged-*.db"))


@pytest.mark.parametrize("damage", ["garbage", "truncated", "scribbled", "empty-header"])
async def test_a_damaged_file_is_set_aside_and_what_is_intact_is_sent(
    tmp_path: Path, damage: str
) -> None:
    async with opened(tmp_path, commit_rows=50) as outbox:
        for start in range(0, 5_000, 50):
            await outbox.put_rows_durable(rows(50, start))
        await outbox.put_alarms([alarm(1)])
        before = await everything(outbox)
        await outbox.settle(ack(*before[:20]))
    file = tmp_path / "outbox.db"
    content = bytearray(file.read_bytes())
    if damage == "garbage":
        content[:] = b"not a database at all" * 500
    elif damage == "truncated":
        del content[len(content) * 2 // 3 :]
    elif damage == "scribbled":
        middle = len(content) // 2
        content[middle : middle + 20_000] = b"\xff" * 20_000
    else:
        content[:100] = bytes(100)
    file.write_bytes(content)
    async with opened(tmp_path) as outbox:
        rescued = await everything(outbox)
        await outbox.put_rows_durable(rows(10, 9_000))
        after = await everything(outbox)
        events = await everything(outbox, topics.EVENT)
        by_key = {(c.stream, c.first_seq): c.payload for c in before}
        for chunk in rescued:
            assert by_key[chunk.stream, chunk.first_seq] == chunk.payload
        assert after[-1].stream != before[0].stream
        assert after[-1].first_seq == 0
        told = decode_body(decode_header(events[-1].payload), events[-1].payload, Event)
        assert told.kind == SALVAGED
        if damage in ("truncated", "scribbled"):
            assert len(rescued) >= 20
            numbers = RangeSet((c.first_seq, c.first_seq + c.rows) for c in rescued)
            numbers.add(0, before[19].first_seq + before[19].rows)  # committed
            gaps = [(g.lo, g.hi) for g in gaps_of(told) if g.stream == before[0].stream]
            assert gaps == numbers.missing(0, 5_000)
        await outbox.settle(ack(*after))
        assert await everything(outbox) == []
        assert {s.stream for s in outbox.stream_states() if s.cls == topics.TELEMETRY} == {
            after[-1].stream
        }
    assert _damaged_files(tmp_path)
    async with opened(tmp_path) as outbox:
        assert await everything(outbox) == []


async def test_a_full_disk_makes_rows_wait_and_loses_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(100))
        db = outbox._store.db
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own SQLITE_FULL
        waiting = asyncio.create_task(outbox.put_rows_durable(rows(5_000, 100)))
        await wait_until(lambda: outbox.stats().commit_failures > 0)
        assert not waiting.done()
        db.execute("PRAGMA max_page_count = 1000000")
        await waiting
        assert values(await everything(outbox)) == [float(i) for i in range(5_100)]


async def test_memory_is_told_from_a_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        assert outbox.stats().volatile == outbox.volatile
    shm = Path("/dev/shm") / f"tocsin-{tmp_path.name}"
    try:
        async with opened(shm) as outbox:
            assert outbox.volatile
    finally:
        for file in shm.iterdir():
            file.unlink()
        shm.rmdir()


async def test_bytes_per_reading_are_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(1_000))
        stats = outbox.stats()
        assert stats.readings == 2_000
        assert 2 < stats.payload_bytes_per_reading < 20
        assert stats.written_bytes_per_reading > stats.payload_bytes_per_reading


async def test_what_its_ingester_has_lost_is_pending_again_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        for start in range(0, 50, 10):
            await outbox.put_rows_durable(rows(10, start))
        sent = await everything(outbox)
        stream = sent[0].stream
        full = CommitAck(VERSION, "ingest-0", {stream: StreamAck(50)})
        assert await outbox.settle(full) == 50
        await outbox.settle(CommitAck(VERSION, "ingest-0", {stream: StreamAck(20)}))
        assert outbox.stats().pending_rows == 30
        assert await everything(outbox) == sent[2:], "the same bytes"
        assert [outbox.is_settled(chunk) for chunk in sent] == [True, True, False, False, False]
        assert await outbox.settle(full) == 30
        assert await everything(outbox) == []
    async with opened(tmp_path) as outbox:
        await outbox.settle(CommitAck(VERSION, "ingest-0", {stream: StreamAck(0)}))
        assert await everything(outbox) == sent
        assert outbox.taken_back == 50


async def test_what_another_ingester_holds_is_not_sent_again(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        await outbox.put_rows_durable(rows(10))
        (chunk,) = await everything(outbox)
        for name, upto in (("a", 10), ("b", 10), ("a", 0)):
            await outbox.settle(CommitAck(VERSION, name, {chunk.stream: StreamAck(upto)}))
        assert await everything(outbox) == []
        await outbox.settle(CommitAck(VERSION, "b", {chunk.stream: StreamAck(0)}))
        assert await everything(outbox) == [chunk]


async def test_evicted_chunks_are_not_asked_back(tmp_path: Path) -> None:
    async with opened(tmp_path, commit_rows=10, keep_committed_bytes=0) as outbox:
        await outbox.put_rows_durable(rows(10))
        (chunk,) = await everything(outbox)
        for upto in (10, 0):
            await outbox.settle(CommitAck(VERSION, "a", {chunk.stream: StreamAck(upto)}))
        assert (outbox.taken_back, outbox.stats().pending_rows) == (0, 0)


def lacking(stream: str, upto: int, *lacks: tuple[int, int]) -> CommitAck:
    return CommitAck(VERSION, "cloud", {stream: StreamAck(upto, lacks=list(lacks))})


async def test_what_a_restored_cloud_lacks_is_sent_again_or_told_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, commit_rows=10) as outbox:
        for start in range(0, 50, 10):
            await outbox.put_rows_durable(rows(10, start))
        sent = await everything(outbox)
        stream = sent[0].stream
        for name in ("cloud", "ingest-1"):
            await outbox.settle(CommitAck(VERSION, name, {stream: StreamAck(50)}))
        db = outbox._store.db  # evicted, as one with less room would have
        await outbox._disk.call(db.execute, "DELETE FROM chunk WHERE first_seq = 20")
    async with opened(tmp_path) as outbox:
        await outbox.settle(lacking(stream, 20, (20, 50)))
        assert await everything(outbox) == sent[3:], "the same bytes"
        (event,) = await everything(outbox, topics.EVENT)
        told = decode_body(decode_header(event.payload), event.payload, Event)
        assert (told.kind, told.data["n"]) == ("cloud.restored", 20)
        assert told.text.endswith("20 kept numbers are sent again, 10 are no longer kept")
        gap = Gap(topics.TELEMETRY, stream, 20, 30)
        assert gaps_of(told) == [gap]
        await outbox.settle(lacking(stream, 20, (20, 50)))
        assert len(await everything(outbox, topics.EVENT)) == 1, "it is on its way"


async def test_what_was_given_up_is_not_told_again_while_the_event_about_it_is_on_its_way(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, commit_rows=10, keep_committed_bytes=0) as outbox:
        await outbox.put_rows_durable(rows(10))
        (chunk,) = await everything(outbox)
        await outbox.settle(ack(chunk))
        await outbox.put_event("outbox.thinned")
        (marker,) = await everything(outbox, topics.EVENT)
        await outbox.settle(lacking(chunk.stream, 0, (0, 10)))
        assert await everything(outbox, topics.EVENT) == [marker]
        await outbox.settle(ack(marker))
        await outbox.settle(lacking(chunk.stream, 0, (0, 10)))
        assert len(await everything(outbox, topics.EVENT)) == 1


async def test_commands_are_remembered_until_they_expire_and_the_newest_beyond_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "KEPT_COMMANDS", 1)
    now_ns = SystemClock().now_ns()
    ahead_ns = 60_000_000_000
    async with opened(tmp_path) as outbox:
        for name, expires_ns in (("older", -2), ("old", -1), ("c1", ahead_ns), ("c2", ahead_ns)):
            await outbox.remember_command(name, now_ns + expires_ns)
    async with opened(tmp_path) as outbox:
        until_ns = now_ns + ahead_ns
        assert await outbox.commands() == ({"c1": until_ns, "c2": until_ns}, 0)


async def test_a_file_of_the_first_layout_is_taken_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        await outbox.put_rows_durable(rows(5))
    with sqlite3.connect(tmp_path / "outbox.db") as db:
        db.executescript(
            "DROP TABLE held; DROP TABLE command; ALTER TABLE stream DROP COLUMN wall_ns;"
            " ALTER TABLE stream DROP COLUMN epoch; PRAGMA user_version = 1;"
        )
    db.close()
    async with opened(tmp_path) as outbox:
        assert values(await everything(outbox)) == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert outbox.last_clock == (0, 0)
