"""Rows on their way to the disk: buffered, bounded, and committed in groups by one task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from edge.options import OutboxOptions
from edge.outbox.disk import DISK_PATIENCE_S, Disk
from edge.outbox.markers import shed_gap
from edge.outbox.shed_note import ShedNote
from edge.outbox.store import Store
from tocsin.contract.columns import Row
from tocsin.contract.gaps import Gap, join
from tocsin.errors import OutboxCorruptError, OutboxError
from tocsin.sdk import Clock

Polled: TypeAlias = tuple[Sequence[Row], Sequence[Row]]  # stamped, and those without a time
MAX_BUFFERED_ROWS = 20_000
_RETRY_S = 1.0


class _Waiting:
    """Rows that are committed together. The `polled` ones of them come only once: nobody sends them again."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.held: list[Row] = []
        self.polled: list[Row] = []
        self.polled_held: list[Row] = []
        self.since_ns: int | None = None  # monotonic

    def __len__(self) -> int:
        return len(self.rows) + len(self.held)

    def gaps(self) -> Iterator[Gap]:
        """What must be told of them should they never be committed."""
        if self.polled:
            yield shed_gap(self.polled, stamped=True)
        if self.polled_held:
            yield shed_gap(self.polled_held, stamped=False)


class Committer:
    """Takes rows and hands them to the store. `committed` hears of each commit what had to make room for it."""

    def __init__(
        self,
        store: Store,
        disk: Disk,
        clock: Clock,
        options: OutboxOptions,
        log: logging.Logger,
        power_on: str,
        committed: Callable[[list[Gap]], None],
    ) -> None:
        self._store, self._disk = store, disk
        self._clock, self._options, self._log = clock, options, log
        self._power_on, self._tell = power_on, committed
        self._next, self._under_way = _Waiting(), _Waiting()
        self._appended = self._committed = 0
        self.failures = self.dropped = 0
        self._refusing = False
        self._note = ShedNote(disk.directory)
        self._shed: list[Gap] = self._left(store)
        self._said_shed = False
        self._failed: OutboxError | None = None
        self._wake, self._hurry, self._closing = asyncio.Event(), asyncio.Event(), False
        self._turn = asyncio.Condition()
        self._flusher = asyncio.create_task(self._flush_forever(), name="outbox-commit")
        self._flusher.add_done_callback(self._flusher_ended)
        if self._shed:
            self._wake.set()

    def _left(self, store: Store) -> list[Gap]:
        """What an agent that ended while the disk refused could not tell."""
        if not self._note.gaps or self._note.id == store.memory.told_note():
            self._note.clear()
            return []
        rows = sum(gap.rows for gap in self._note.gaps)
        self._log.error("%d readings that waited for the disk were lost with the last agent", rows)
        return self._note.gaps

    @property
    def buffered(self) -> int:
        """Rows taken and not committed."""
        return self._appended - self._committed

    @property
    def held(self) -> int:
        """Those of the waiting ones that have no time yet."""
        return len(self._next.held)

    @property
    def waits_ns(self) -> int:
        """How long the oldest row has waited for its commit."""
        since = [w.since_ns for w in (self._under_way, self._next) if w.since_ns is not None]
        return self._clock.mono_ns() - min(since) if since else 0

    @property
    def refuses(self) -> bool:
        """As `Outbox.refuses`."""
        return self._refusing

    async def put(self, rows: Sequence[Row], *, stamped: bool) -> None:
        """As `Outbox.put_rows`."""
        await self._room(while_refused=True)
        self._take(*((rows, ()) if stamped else ((), rows)))
        self._take_polled(*((rows, ()) if stamped else ((), rows)))

    async def put_durable(self, rows: Sequence[Row]) -> None:
        """As `Outbox.put_rows_durable`."""
        await self._room(while_refused=True)
        ticket = self._take(rows, ())
        self._hurry.set()
        async with self._turn:
            await self._turn.wait_for(lambda: self._committed >= ticket or self._failed)
        self._raise_if_failed()

    async def offer(self, rows: Sequence[Row], held: Sequence[Row], polled: Polled | None) -> bool:
        """As `Outbox.offer_rows`."""
        await self._room(while_refused=False)
        if len(self._next) >= MAX_BUFFERED_ROWS:
            return False
        self._take(rows, held)
        self._take_polled(*(polled or (rows, held)))
        return True

    def shed(self, rows: Sequence[Row], *, stamped: bool = True) -> None:
        """As `Outbox.shed`."""
        if not rows:
            return
        if not self._said_shed:
            self._log.error("readings are given up: the disk takes none, no more may wait for it")
        self._said_shed = True
        self.dropped += len(rows)
        join(self._shed, shed_gap(rows, stamped=stamped))
        self._wake.set()

    async def aclose(self) -> None:
        """Commit what is buffered, as far as the disk takes it."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        try:
            async with asyncio.timeout(DISK_PATIENCE_S):
                await asyncio.gather(self._flusher, return_exceptions=True)
        finally:
            self._flusher.cancel()

    async def _room(self, *, while_refused: bool) -> None:
        """Wait until rows may be buffered; not `while_refused`: only as long as the disk works."""
        self._raise_if_failed()

        def done() -> object:
            room = len(self._next) < MAX_BUFFERED_ROWS
            return room or self._failed or (self._refusing and not while_refused)

        if not done():
            async with self._turn:
                await self._turn.wait_for(done)
            self._raise_if_failed()

    def _take(self, rows: Sequence[Row], held: Sequence[Row]) -> int:
        if self._next.since_ns is None and (rows or held):
            self._next.since_ns = self._clock.mono_ns()
        self._next.rows.extend(rows)
        self._next.held.extend(held)
        self._appended += len(rows) + len(held)
        self._wake.set()
        if len(self._next) >= self._options.commit_rows:
            self._hurry.set()
        return self._appended

    def _take_polled(self, rows: Sequence[Row], held: Sequence[Row]) -> None:
        self._next.polled.extend(rows)
        self._next.polled_held.extend(held)

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
            if (self._next or self._shed) and not await self._commit():
                return
            if self._closing and not self._next:
                return

    async def _commit(self) -> bool:
        """Commit the buffer; False when the outbox is beyond repair by this process or is closing on a full disk."""
        under_way = self._under_way = self._next
        self._next = _Waiting()
        while True:
            telling, self._shed = self._shed, []
            try:
                dropped = await self._append(under_way, telling)
            except OutboxError as exc:
                for gap in self._shed:
                    join(telling, gap)
                self._shed = telling
                self._write_note([])
                if isinstance(exc, OutboxCorruptError):
                    self._failed = exc
                    await self._notify()
                    return False
                self.failures += 1
                if not self._refusing:
                    self._log.error("readings wait for the disk: %s", exc.message)
                self._refusing = True
                if self._closing:
                    self._failed = exc
                await self._notify()
                if self._closing:
                    return False
                await self._clock.sleep(_RETRY_S)
                continue
            break
        self._under_way = _Waiting()
        self._note.clear()
        if self._refusing:
            self._log.warning("the disk takes readings again")
        self._refusing = self._said_shed = False
        self._committed += len(under_way)
        await self._notify()
        self._tell(dropped)
        return True

    async def _append(self, under_way: _Waiting, telling: list[Gap]) -> list[Gap]:
        """Commit these rows; a disk that only hangs may be met by a kill too."""
        told = self._note.id
        doing = asyncio.ensure_future(
            self._disk.call(
                self._store.append_rows,
                under_way.rows,
                self._clock.now_ns(),
                under_way.held,
                self._power_on,
                telling[:],
                told,
            )
        )
        while not (await asyncio.wait({doing}, timeout=_RETRY_S))[0]:
            self._write_note(telling, told)
        return await doing

    def _write_note(self, telling: Sequence[Gap], told: str = "") -> None:
        """What must be told should the agent end now; of rows that a hanging disk keeps after all it is too much.

        It stays the note `told` of which what is under way says that it is told, unless there is more to tell by now.
        """
        gaps: list[Gap] = []
        for gap in (*telling, *self._shed, *self._under_way.gaps(), *self._next.gaps()):
            join(gaps, gap)
        if gaps:
            more = self._shed or self._next
            self._note.write(gaps, self._clock.now_ns(), "" if more else told)

    def _flusher_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._failed = OutboxError(f"the outbox stopped: {bug!r}")
            self._notifier = asyncio.create_task(self._notify(), name="outbox-failed")

    async def _notify(self) -> None:
        async with self._turn:
            self._turn.notify_all()

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise self._failed
