"""The synchronous core of the outbox. One thread owns it; every method is one transaction."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from edge.options import OutboxOptions
from edge.outbox import reading, settling, streams
from edge.outbox.chunks import Chunk, readings, split
from edge.outbox.database import FILE, LOG_PAGES, URGENT_LOG_PAGES, connect, fold_log_at
from edge.outbox.held import Held, HeldPart
from edge.outbox.high_water import HighWater
from edge.outbox.markers import MAX_GAPS, Marker, shed_gap
from edge.outbox.memory import Memory
from edge.outbox.repeats import Repeats
from edge.outbox.room import Room
from edge.outbox.streams import Stream
from tocsin.contract import topics
from tocsin.contract.codec import Codec, encode
from tocsin.contract.columns import Row, group_rows
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.gaps import RESTORED, SALVAGED, Gap, as_data
from tocsin.contract.ids import ulid
from tocsin.contract.messages import (
    VERSION,
    Alarm,
    Batch,
    ClockState,
    Event,
)
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxError, WireError

_SYNC_EVERY_S = 1.0
Ranges = Mapping[str, Sequence[tuple[int, int]]]  # by stream
_log = logging.getLogger("edge.outbox")


class Store:
    """An open outbox file. Not thread-safe, and it never waits but for the disk."""

    def __init__(
        self,
        directory: Path,
        *,
        site: str,
        gateway: str,
        options: OutboxOptions,
        codec: Codec,
        now_ns: int,
        power_on: str = "",
    ) -> None:
        self.site, self.gateway, self.codec = site, gateway, codec
        self.clock_state = ClockState()
        self.rows = self.readings = self.payload_bytes = self.commits = 0
        self.oversized = self.written_bytes = self.sync_failures = 0
        self._written_before = _written_by_this_thread()
        self._wal = directory / (FILE + "-wal")
        self._fsync, self._synced_s = options.fsync, 0.0
        self._said_oversized = False
        self._urgent = (
            False  # what was written since the last sync may be sent only when it is synced
        )
        self.db = connect(directory / FILE, options.fsync)
        self.memory = Memory(self.db)
        try:
            self.memory.check_identity(site, gateway)
        except OutboxError:
            self.db.close()
            raise
        self.streams: dict[str, Stream] = {}
        self._live: dict[str, Stream] = {}
        before = self.memory.open_since()
        self.tail_lost = ""
        if options.fsync != "always" and before and power_on != before:
            self.tail_lost = "the power failed while the outbox was open"
            unsynced = topics.JOURNALLED if options.fsync == "none" else (topics.TELEMETRY,)
            streams.retire(self.db, unsynced)
        self._high_water = HighWater(directory)
        live = {s.ulid: s for s in streams.load(self.db) if s.live}
        given = self._high_water.beyond(power_on, {n: s.next_seq for n, s in live.items()})
        if given:
            self.tail_lost = "the disk has lost what was written to the outbox last"
            streams.retire(self.db, {live[name].cls for name in given})
        self._load_streams(now_ns)
        self._power_on, self._marked = power_on, False
        self.wall_ns, self.epoch = self.db.execute(
            "SELECT wall_ns, epoch FROM stream WHERE cls = ? ORDER BY epoch DESC, wall_ns DESC",
            (topics.TELEMETRY,),
        ).fetchone()
        self.held = Held(self.db)
        self.room = Room(self.db, self.held, options.max_bytes, options.keep_committed_bytes)
        for stream in self.streams.values():
            for lo, hi in stream.settled:
                self.room.note_settled(stream, lo, hi)
        self.repeats = Repeats(self.db)
        (newest,) = self.db.execute("SELECT max(id) FROM chunk").fetchone()
        self.newest_ids = dict.fromkeys(topics.JOURNALLED, newest or 0)  # by class, committed
        self._given: dict[str, int] = {}  # ids of the open transaction
        self._marker = Marker(self.db)

    def close(self) -> None:
        """Fold the log into the file and close it."""
        in_order = False
        with suppress(sqlite3.Error):
            self.memory.mark_open("")
            in_order = True
        self.db.close()
        self._high_water.close(forget=in_order)

    def append_rows(
        self,
        rows: Sequence[Row],
        now_ns: int,
        held: Sequence[Row] = (),
        power_on: str = "",
        shed: Sequence[Gap] = (),
        note: str = "",
    ) -> list[Gap]:
        """Seal rows into chunks, keep `held` ones unsealed, commit all together; the rows that had to make room.

        `shed` is what was given up before it came here; what a `note` in memory says is told with it.
        """
        with self._transaction() as dropped:
            self._tell(shed, now_ns)
            if note:
                self.memory.save_told_note(note)
            for part in split(rows):
                self._append_batch(part, now_ns)
            self.held.add(held, power_on)
            self.rows += len(rows) + len(held)
            self.readings += readings(rows) + readings(held)
            self._note_wall(now_ns)
            self._make_room(now_ns, dropped)
        return dropped

    def release(self, held: HeldPart, rows: Sequence[Row], now_ns: int) -> list[Gap]:
        """Seal the rows that `held` became now that the time is known."""
        with self._transaction() as dropped:
            self.held.drop(held.id)
            for part in split(rows):
                self._append_batch(part, now_ns)
            self._note_wall(now_ns)
            self._make_room(now_ns, dropped)
        return dropped

    def remember_command(
        self, command_id: str, expires_ns: int, now_ns: int, note: str = ""
    ) -> None:
        """Make it durable that a command is carried out; forget those that nobody can send any more."""
        with self._transaction():
            self._urgent = True
            self.memory.add_command(command_id, expires_ns, now_ns)
            if note:
                self.memory.note_order(command_id, note)

    def append_alarms(
        self,
        drafts: Sequence[AlarmDraft],
        states: Mapping[str, str],
        n: int,
        now_ns: int,
        *,
        all_of_them: bool = False,
    ) -> tuple[list[Alarm], list[Gap]]:
        """Seal and commit alarms with their states; a repeat of one that was never handed out is folded into it."""
        alarms = []
        with self._transaction() as dropped:
            self._urgent = True
            for draft in drafts:
                self._make_room(now_ns, dropped, urgent=True)
                folded = self.repeats.fold(draft, partial(self._seal, draft))
                alarms.append(folded or self._append_alarm(draft))
            if all_of_them:
                self.memory.replace_alarms(states, n)
            else:
                self.memory.note_alarms(states, n)
        return alarms, dropped

    def append_event(
        self,
        kind: str,
        device: str,
        text: str,
        data: dict[str, object],
        now_ns: int,
        order: tuple[str, str] | None = None,
    ) -> tuple[Event, list[Gap]]:
        """Seal and commit one event, and with it the new note of an open command (id, note; "" drops it)."""
        with self._transaction() as dropped:
            if order is not None:
                self.memory.note_order(*order)
            _, event = self._append_event(kind, device, text, data, now_ns)
            self._make_room(now_ns, dropped)
        return event, dropped

    def append_events(
        self, told: Sequence[tuple[str, str, str, dict[str, object]]], now_ns: int
    ) -> tuple[list[Event], list[Gap]]:
        """Seal and commit several events together."""
        with self._transaction() as dropped:
            events = [self._append_event(*event, now_ns)[1] for event in told]
            self._make_room(now_ns, dropped)
        return events, dropped

    def adopt(self, chunks: Sequence[Chunk], now_ns: int) -> None:
        """Take over chunks of a damaged file under their old streams, bytes unchanged."""
        with self._transaction():
            for chunk in chunks:
                stream = self.streams.get(chunk.stream)
                if stream is None:
                    stream = self._new_stream(chunk.cls, chunk.stream, live=False)
                    stream.settled.add(0, chunk.first_seq)
                    stream.first_kept = chunk.first_seq
                elif chunk.first_seq < stream.next_seq:
                    continue
                else:
                    stream.settled.add(stream.next_seq, chunk.first_seq)  # the hole is lost
                stream.next_seq = chunk.first_seq
                self._insert(stream, chunk.rows, now_ns, now_ns, chunk.payload)
                streams.save_settled(self.db, stream)

    def adopt_held(self, held: HeldPart, file: str, now_ns: int) -> list[Gap]:
        """Take over rows of another file that have no time yet, once; the rows that had to make room."""
        with self._transaction() as dropped:
            if self.memory.note_taken(file, held.id):
                self.held.add(held.rows, held.power_on)
                self.rows += len(held.rows)
                self.readings += readings(held.rows)
                self._make_room(now_ns, dropped)
        return dropped

    def tell_salvaged(self, file: str, text: str, data: dict[str, object], now_ns: int) -> None:
        """All of a damaged file is here; the event about it."""
        with self._transaction():
            self.memory.note_taken_over(file)
            self._append_event(SALVAGED, "", text, data, now_ns)

    def settle(
        self, news: Ranges, lost: Ranges, asked: Ranges, ingester: str, now_ns: int
    ) -> tuple[int, str]:
        """Mark ranges of streams as committed by the cloud, then free what is beyond the room for committed ones.

        What `ingester` had and has `lost` waits again before that, as far as it is kept; an event tells how many
        numbers, and what of the `asked` is not kept. The number and the event's text, "" if there is none.
        """
        with self._transaction():
            for name, ranges in news.items():
                if name in self.streams:
                    settling.settle(self.db, self.room, self.streams[name], ranges)
            count = sum(
                settling.take_back(self.db, self.room, self.streams[name], lo, hi)
                for name, ranges in lost.items()
                if name in self.streams
                for lo, hi in ranges
            )
            text, gaps = "", settling.gone(self.streams, asked)
            if count or gaps:
                text, data = settling.restored(ingester, count, gaps)
                self._append_event(RESTORED, "", text, data, now_ns)
            self.room.evict_settled(self.streams)
            self._forget_finished()
        return count, text

    def pending(
        self, cls: str, after: int, upto: int | None, limit: int, now_ns: int
    ) -> list[Chunk]:
        """Unsettled chunks of a class with `after` < id <= `upto`, oldest first. Handing out freezes their bytes."""
        out, spoiled = reading.pending(self.db, self.streams.values(), cls, after, upto, limit)
        if spoiled:
            self._give_up(spoiled, now_ns)
        if cls == topics.EVENT:
            self._marker.seal({c.id for c in out})
        elif cls == topics.ALARM:
            self.repeats.seal({c.id for c in out})
        return out

    def _give_up(self, spoiled: Sequence[Chunk], now_ns: int) -> None:
        """What the disk has changed cannot be sent: it leaves, and an event tells of it."""
        gaps = [Gap(c.cls, c.stream, c.first_seq, c.first_seq + c.rows) for c in spoiled]
        rows = sum(gap.rows for gap in gaps)
        text = f"{rows} rows in the outbox were damaged on the disk and are lost"
        _log.error("%s", text)
        with self._transaction():
            for chunk, gap in zip(spoiled, gaps, strict=True):
                self.db.execute("DELETE FROM chunk WHERE id = ?", (chunk.id,))
                self.streams[gap.stream].settled.add(gap.lo, gap.hi)
                streams.save_settled(self.db, self.streams[gap.stream])
            for at in range(0, len(gaps), MAX_GAPS):
                part = as_data(gaps[at : at + MAX_GAPS])
                self._append_event(SALVAGED, "", text, part, now_ns)

    def first_pending(self, cls: str) -> int:
        """As `reading.first_pending`."""
        return reading.first_pending(self.db, self.streams.values(), cls)

    def newest(self, cls: str, limit: int) -> list[bytes]:
        """As `reading.newest`."""
        return reading.newest(self.db, cls, limit)

    def last_id(self) -> int:
        """As `reading.last_id`."""
        return reading.last_id(self.db)

    @contextmanager
    def _transaction(self) -> Iterator[list[Gap]]:
        before = {
            s.ulid: (s.next_seq, s.first_kept, RangeSet(s.settled)) for s in self.streams.values()
        }
        totals = self.rows, self.readings, self.payload_bytes, self.oversized
        settled_bytes = self.room.settled_bytes
        dropped: list[Gap] = []
        self._given = {}
        self.db.execute("BEGIN IMMEDIATE")
        try:
            if not self._marked:
                self.memory.mark_open(self._power_on)
            yield dropped
            fold_log_at(self.db, URGENT_LOG_PAGES if self._urgent else LOG_PAGES)
            self.db.execute("COMMIT")
            self._high_water.note(self._power_on, {s.ulid: s.next_seq for s in self._live.values()})
            self.newest_ids |= self._given
            if not self._marked:
                self._marked = True
                self._sync_log()
                self._sync_folder()
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            for name in list(self.streams):
                if name not in before:
                    del self.streams[name]
                    continue
                stream = self.streams[name]
                stream.next_seq, stream.first_kept, stream.settled = before[name]
            self.rows, self.readings, self.payload_bytes, self.oversized = totals
            self.room.settled_bytes = settled_bytes
            self.repeats.forget()
            self._marker.forget()
            self.held.recount()
            self.room.recount()
            raise
        self._sync()
        self.commits += 1
        self.written_bytes = _written_by_this_thread() - self._written_before

    def _append_batch(self, rows: Sequence[Row], now_ns: int) -> None:
        stream = self._live[topics.TELEMETRY]
        t0, unit, groups = group_rows(rows)
        batch = Batch(
            version=VERSION,
            site=self.site,
            gateway=self.gateway,
            stream=stream.ulid,
            first_seq=stream.next_seq,
            t0=t0,
            tu=unit,
            groups=groups,
            clock=self.clock_state,
            epoch=self.epoch,
        )
        try:
            payload = encode(batch, self.codec)
        except WireError:
            if len(rows) == 1:  # one row of more than a mebibyte: no message can carry it
                if not self._said_oversized:
                    _log.error("a row of %s is larger than any message", rows[0].layout.device)
                self._said_oversized = True
                self.oversized += 1
                self._tell([shed_gap(rows, stamped=True)], now_ns)
                return
            self._append_batch(rows[: len(rows) // 2], now_ns)
            self._append_batch(rows[len(rows) // 2 :], now_ns)
            return
        self._insert(stream, len(rows), t0, max(r.time_ns for r in rows), payload)

    def _append_event(
        self, kind: str, device: str, text: str, data: dict[str, object], now_ns: int
    ) -> tuple[int, Event]:
        stream = self._live[topics.EVENT]
        if self.clock_state.state == "unset":
            data = {**data, "clock": "unset"}
        event = Event(
            VERSION, self.site, self.gateway, stream.ulid, stream.next_seq, kind, now_ns,
            device, text, data,
        )  # fmt: skip
        return self._insert(stream, 1, now_ns, now_ns, encode(event, "jn")), event

    def _append_alarm(self, draft: AlarmDraft) -> Alarm:
        stream = self._live[topics.ALARM]
        alarm = self._seal(draft, stream.ulid, stream.next_seq)
        self.repeats.note(self._insert(stream, 1, alarm.t, alarm.t, encode(alarm, "jn")), alarm)
        return alarm

    def _seal(self, draft: AlarmDraft, stream: str, seq: int) -> Alarm:
        return draft.seal(
            site=self.site, gateway=self.gateway, stream=stream, seq=seq, clock=self.clock_state
        )

    def _insert(self, stream: Stream, rows: int, t_min: int, t_max: int, payload: bytes) -> int:
        cursor = self.db.execute(
            "INSERT INTO chunk (cls, stream, first_seq, rows, t_min, t_max, bytes, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (stream.cls, stream.id, stream.next_seq, rows, t_min, t_max, len(payload), payload),
        )
        stream.next_seq += rows
        self._urgent |= stream.cls != topics.TELEMETRY
        self.db.execute("UPDATE stream SET next_seq = ? WHERE id = ?", (stream.next_seq, stream.id))
        self.payload_bytes += len(payload)
        self._given[stream.cls] = cursor.lastrowid or 0
        return self._given[stream.cls]

    def _make_room(self, now_ns: int, dropped: list[Gap], *, urgent: bool = False) -> None:
        gone = self.room.make(self.streams, urgent=urgent)
        for gap in gone:
            if not gap.stream:
                continue  # they were never numbered
            stream = self.streams[gap.stream]
            stream.settled.add(gap.lo, gap.hi)
            streams.save_settled(self.db, stream)
        self._tell(gone, now_ns)
        dropped += gone

    def _tell(self, gaps: Sequence[Gap], now_ns: int) -> None:
        self._urgent |= bool(gaps)
        self._marker.tell(
            gaps, lambda kind, text, data: self._append_event(kind, "", text, data, now_ns)
        )

    def _forget_finished(self) -> None:
        """Old streams go once nothing of them is left."""
        for stream in [s for s in self.streams.values() if not s.live and not s.pending]:
            streams.forget(self.db, stream)
            del self.streams[stream.ulid]

    def _note_wall(self, now_ns: int) -> None:
        """Remember the clock beside the stream's numbers, in a page that is written anyway."""
        if self.clock_state.state != "unset":
            row = (now_ns, self.epoch, self._live[topics.TELEMETRY].id)
            self.db.execute("UPDATE stream SET wall_ns = ?, epoch = ? WHERE id = ?", row)

    def _sync(self) -> None:
        now = time.monotonic()
        if self._fsync != "batch" or not (self._urgent or now - self._synced_s >= _SYNC_EVERY_S):
            return
        self._synced_s, self._urgent = now, False
        self._sync_log()

    def _sync_log(self) -> None:
        try:  # the commit itself stands, whatever becomes of this
            fd = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            if not self.sync_failures:
                _log.error("a power cut may cost readings, the disk does not sync: %s", exc)
            self.sync_failures += 1

    def _sync_folder(self) -> None:
        with suppress(OSError):  # not every file system can
            fd = os.open(self._wal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _load_streams(self, now_ns: int) -> None:
        for stream in streams.load(self.db):
            self.streams[stream.ulid] = stream
            if stream.live:
                self._live[stream.cls] = stream
        for cls in topics.JOURNALLED:
            if cls not in self._live:
                self._live[cls] = self._new_stream(cls, ulid(now_ns), live=True)

    def _new_stream(self, cls: str, name: str, *, live: bool) -> Stream:
        self.streams[name] = streams.create(self.db, cls, name, live=live)
        return self.streams[name]


def _written_by_this_thread() -> int:
    """Bytes this thread handed to write(2) (Linux, proc(5))."""
    text = Path(f"/proc/self/task/{threading.get_native_id()}/io").read_text()
    return int(text.split("wchar: ")[1].split()[0])
