"""The outbox as the rest of the gateway sees it: buffers rows, commits them in groups, hands out what is pending."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from edge.options import OutboxOptions
from edge.outbox import salvage
from edge.outbox.chunks import Chunk, Dropped, OutboxStats
from edge.outbox.database import DirectoryLock, is_volatile
from edge.outbox.store import Store
from tocsin.contract import topics
from tocsin.contract.codec import Codec
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import Alarm, ClockState, CommitAck, Event, StreamState
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxCorruptError, OutboxError, OutboxFullError
from tocsin.sdk import Clock

_P = ParamSpec("_P")
_T = TypeVar("_T")

MAX_BUFFERED_ROWS = 20_000
DISK_TIMEOUT_S = 60.0
_RETRY_S = 1.0


class Outbox:
    """One directory, one SQLite file, one writer thread. Use it from one event loop.

    `changed` is set after every commit of something new; a reader clears it before it looks.
    """

    def __init__(
        self,
        directory: Path,
        store: Store,
        lock: DirectoryLock,
        executor: ThreadPoolExecutor,
        clock: Clock,
        options: OutboxOptions,
        log: logging.Logger,
    ) -> None:
        self._directory, self._store, self._lock, self._executor = directory, store, lock, executor
        self._clock, self._options, self._log = clock, options, log
        self.changed = asyncio.Event()
        self.volatile = is_volatile(directory)
        self._settled = {s.ulid: RangeSet(s.settled) for s in store.streams.values()}
        self._rows: list[Row] = []
        self._appended = self._committed = 0
        self._failures = self._dropped = 0
        self._failed: OutboxError | None = None
        self._said_full = False
        self._wake, self._hurry, self._closing = asyncio.Event(), asyncio.Event(), False
        self._turn = asyncio.Condition()
        self._flusher = asyncio.create_task(self._flush_forever(), name="outbox-commit")
        self._flusher.add_done_callback(self._flusher_ended)

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        site: str,
        gateway: str,
        clock: Clock,
        options: OutboxOptions,
        codec: Codec = "jn",
        log: logging.Logger | None = None,
    ) -> Self:
        """Open or create the outbox in `directory`. A damaged file is set aside and what is intact in it taken over.

        Raises:
            OutboxLockedError: another process has it.
            OutboxError: it belongs to another gateway or a newer version, or the disk refuses.
        """
        log = log or logging.getLogger("tocsin.outbox")
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True, mode=0o700)
        lock = DirectoryLock(directory)
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")

        def create() -> Store:
            return Store(
                directory,
                site=site,
                gateway=gateway,
                options=options,
                codec=codec,
                now_ns=clock.now_ns(),
            )

        def open_or_salvage() -> tuple[Store, dict[str, object] | None]:
            try:
                return create(), None
            except sqlite3.OperationalError as exc:
                raise OutboxError(
                    f"the outbox in {directory} cannot be opened: {exc}",
                    hint="are the directory's permissions right, is there room on the disk?",
                ) from exc
            except sqlite3.DatabaseError as exc:
                reason = str(exc)
            aside = salvage.rename_aside(directory, clock.now_ns())
            (directory / "outbox.suspect").unlink(missing_ok=True)
            store = create()
            chunks = rows = 0
            found = salvage.rescue(aside)
            while part := list(islice(found, 64)):
                store.adopt(part, clock.now_ns())
                chunks, rows = chunks + len(part), rows + sum(c.rows for c in part)
            return store, {"file": aside.name, "reason": reason, "chunks": chunks, "rows": rows}

        loop = asyncio.get_running_loop()
        try:
            store, salvaged = await loop.run_in_executor(executor, open_or_salvage)
        except BaseException:
            executor.shutdown(wait=False)
            lock.close()
            raise
        self = cls(directory, store, lock, executor, clock, options, log)
        if salvaged is not None:
            text = f"the outbox file was damaged ({salvaged['reason']}); {salvaged['rows']} rows rescued, kept as {salvaged['file']}"
            log.error(text)
            await self.put_event("outbox.salvaged", "", text, salvaged)
        return self

    def set_clock_state(self, state: ClockState, epoch: int) -> None:
        """What the next chunks say of the gateway's clock."""
        self._store.clock_state, self._store.epoch = state, epoch

    async def put_rows(self, rows: Sequence[Row]) -> None:
        """Hand rows over; they are committed within the commit interval. Waits while too many wait for the disk.

        Raises:
            OutboxCorruptError: the file broke; a restart salvages it.
        """
        await self._put(rows)

    async def put_rows_durable(self, rows: Sequence[Row]) -> None:
        """Return once `rows` and everything before them are committed.

        Raises:
            OutboxCorruptError: the file broke; a restart salvages it.
        """
        ticket = await self._put(rows)
        self._hurry.set()
        async with self._turn:
            await self._turn.wait_for(lambda: self._committed >= ticket or self._failed)
        self._raise_if_failed()

    async def put_alarm(self, draft: AlarmDraft) -> Alarm:
        """Commit one alarm transition now, ahead of buffered rows.

        Raises:
            OutboxFullError: the cap is reached by alarms alone.
        """
        alarm, dropped = await self._call(self._store.append_alarm, draft, self._clock.now_ns())
        self.changed.set()
        await self._tell(dropped)
        return alarm

    async def put_event(
        self, kind: str, device: str = "", text: str = "", data: dict[str, object] | None = None
    ) -> Event:
        """Commit one event now.

        Raises:
            OutboxFullError: the cap is reached by alarms alone.
        """
        event, dropped = await self._call(
            self._store.append_event, kind, device, text, data or {}, self._clock.now_ns()
        )
        self.changed.set()
        await self._tell(dropped)
        return event

    async def pending(
        self, cls: str, *, after: int = 0, upto: int | None = None, limit: int = 32
    ) -> list[Chunk]:
        """Chunks of a class the cloud has not committed, with `after` < id <= `upto`, oldest first."""
        return await self._call(self._store.pending, cls, after, upto, limit)

    async def first_pending(self, cls: str) -> int:
        """Where to start reading: every uncommitted chunk of `cls` has a greater id."""
        return await self._call(self._store.first_pending, cls)

    async def last_id(self) -> int:
        """The id of the newest chunk: what comes later is live."""
        return await self._call(self._store.last_id)

    def is_settled(self, chunk: Chunk) -> bool:
        """Whether the cloud has committed or refused all of it, or it was dropped."""
        settled = self._settled.get(chunk.stream)
        return settled is None or not settled.missing(chunk.first_seq, chunk.first_seq + chunk.rows)

    def is_overtaken(self, chunk: Chunk) -> bool:
        """Whether the cloud settled something later of the same stream: `chunk` is missing, not merely waiting."""
        settled = self._settled.get(chunk.stream)
        return settled is not None and settled.end > chunk.first_seq + chunk.rows

    async def settle(self, ack: CommitAck) -> int:
        """Take in one ingester's commit-ack; how many numbers it settled that were not before."""
        news: dict[str, list[tuple[int, int]]] = {}
        count = 0
        for name, stream_ack in ack.streams.items():
            settled, stream = self._settled.get(name), self._store.streams.get(name)
            if settled is None or stream is None:
                continue
            for lo, hi in ((0, stream_ack.upto), *stream_ack.ranges, *stream_ack.rejected):
                for gap in settled.missing(lo, min(hi, stream.next_seq)):
                    settled.add(*gap)
                    news.setdefault(name, []).append(gap)
                    count += gap[1] - gap[0]
        if news:
            await self._call(self._store.settle, news)
            self._said_full = False
        return count

    def stream_states(self) -> list[StreamState]:
        """Every stream with what it can still send."""
        return [s.state() for s in list(self._store.streams.values())]

    @property
    def unjournalled_ms(self) -> int:
        """Longest time an acquired row may wait for its commit: what a kill can cost."""
        return self._options.commit_interval_ms

    def stats(self) -> OutboxStats:
        """Counters and sizes now."""
        store, streams = self._store, list(self._store.streams.values())
        return OutboxStats(
            pending_rows=sum(s.pending for s in streams if s.cls == topics.TELEMETRY),
            pending_alarms=sum(s.pending for s in streams if s.cls == topics.ALARM),
            buffered_rows=self._appended - self._committed,
            bytes=store.room.used,
            cap_bytes=self._options.max_bytes,
            volatile=self.volatile,
            commits=store.commits,
            rows=store.rows,
            readings=store.readings,
            payload_bytes=store.payload_bytes,
            written_bytes=store.written_bytes,
            dropped_rows=self._dropped,
            coalesced_alarms=store.coalesced,
            commit_failures=self._failures,
        )

    async def aclose(self) -> None:
        """Commit what is buffered, close the file, free the lock."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        try:
            async with asyncio.timeout(DISK_TIMEOUT_S):
                await asyncio.gather(self._flusher, return_exceptions=True)
        finally:
            self._flusher.cancel()
            self._executor.submit(self._store.close)
            await asyncio.to_thread(self._executor.shutdown)
            self._lock.close()

    async def _put(self, rows: Sequence[Row]) -> int:
        self._raise_if_failed()
        if len(self._rows) >= MAX_BUFFERED_ROWS:
            async with self._turn:
                await self._turn.wait_for(
                    lambda: len(self._rows) < MAX_BUFFERED_ROWS or self._failed
                )
            self._raise_if_failed()
        self._rows.extend(rows)
        self._appended += len(rows)
        self._wake.set()
        if len(self._rows) >= self._options.commit_rows:
            self._hurry.set()
        return self._appended

    async def _flush_forever(self) -> None:
        while True:
            await self._wake.wait()
            if not self._closing:
                try:
                    async with asyncio.timeout(self._options.commit_interval_ms / 1000):
                        await self._hurry.wait()
                except TimeoutError:
                    pass
            self._wake.clear()
            self._hurry.clear()
            if self._rows and not await self._commit():
                return
            if self._closing and not self._rows:
                return

    async def _commit(self) -> bool:
        """Commit the buffer; False when the outbox is beyond repair by this process or is closing on a full disk."""
        rows, self._rows = self._rows, []
        said = False
        while True:
            try:
                dropped = await self._call(self._store.append_rows, rows, self._clock.now_ns())
            except OutboxCorruptError as exc:
                self._failed = exc
                await self._notify()
                return False
            except OutboxError as exc:
                self._failures += 1
                if not said:
                    self._log.error("readings wait for the disk: %s", exc.message)
                said = True
                if self._closing:
                    self._failed = exc
                    await self._notify()
                    return False
                await self._clock.sleep(_RETRY_S)
                continue
            break
        if said:
            self._log.warning("the disk takes readings again")
        self._committed += len(rows)
        self.changed.set()
        await self._notify()
        await self._tell(dropped)
        return True

    def _flusher_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._failed = OutboxError(f"the outbox stopped: {bug!r}")
            self._notifier = asyncio.create_task(self._notify(), name="outbox-failed")

    async def _notify(self) -> None:
        async with self._turn:
            self._turn.notify_all()

    async def _tell(self, dropped: list[Dropped]) -> None:
        if not dropped:
            return
        rows = sum(d.hi - d.lo for d in dropped)
        self._dropped += rows
        for gap in dropped:
            self._settled.setdefault(gap.stream, RangeSet()).add(gap.lo, gap.hi)
        lost = [d for d in dropped if d.cls == topics.TELEMETRY]
        text = f"{rows} oldest rows were given up: the outbox is full"
        if not self._said_full:
            self._log.warning("%s; more may follow", text)
            self._said_full = True
        if lost:  # dropped events are counted only: an event about them would push out the next
            ranges: list[object] = [[d.cls, d.stream, d.lo, d.hi] for d in dropped]
            await self.put_event("outbox.thinned", "", text, {"rows": rows, "ranges": ranges})

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise self._failed

    async def _call(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        def run() -> _T:
            return work(*args, **kwargs)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DISK_TIMEOUT_S):
                return await asyncio.shield(loop.run_in_executor(self._executor, run))
        except TimeoutError:
            raise OutboxError(f"the disk did not answer for {DISK_TIMEOUT_S:g} s") from None
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorname == "SQLITE_FULL":
                raise OutboxFullError(
                    f"no room on the disk: {exc}", hint=f"free space under {self._directory}"
                ) from exc
            raise OutboxError(f"the outbox cannot be written: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            (self._directory / "outbox.suspect").touch()
            raise OutboxCorruptError(
                f"the outbox file is damaged: {exc}", hint="restart the agent; it salvages the file"
            ) from exc
