"""The outbox as the rest of the gateway sees it: buffers rows, commits them in groups, hands out what is pending."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from edge.options import OutboxOptions
from edge.outbox import salvage
from edge.outbox.acks import Acks, Told
from edge.outbox.chunks import Chunk, OutboxStats
from edge.outbox.committer import Committer, Polled
from edge.outbox.database import DirectoryLock, is_volatile
from edge.outbox.disk import Disk
from edge.outbox.held import HeldPart
from edge.outbox.opening import TakeOver, open_store
from edge.outbox.store import Store
from tocsin.contract import topics
from tocsin.contract.codec import Codec
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.gaps import Gap
from tocsin.contract.messages import Alarm, ClockState, CommitAck, Event, StreamState
from tocsin.errors import OutboxError
from tocsin.sdk import Clock

_SALVAGE_PATIENCE_S = 10.0


class Outbox:
    """One directory, one SQLite file, one writer thread. Use it from one event loop.

    `changed` is set after every commit of something new; a reader clears it before it looks.
    """

    def __init__(
        self,
        store: Store,
        lock: DirectoryLock,
        disk: Disk,
        clock: Clock,
        options: OutboxOptions,
        log: logging.Logger,
        power_on: str = "",
    ) -> None:
        self._store, self._lock, self._disk = store, lock, disk
        self._clock, self._options, self._log = clock, options, log
        self.changed = asyncio.Event()
        self.volatile = is_volatile(disk.directory)
        settled = {s.ulid: s.settled for s in store.streams.values()}
        self._acks = Acks(settled, store.memory.ingesters())
        self.taken_back = self.salvaged = 0
        self.rearranged = 0  # grows when older chunks are to be sent: a reader begins anew
        self._salvaging: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stands_in_for: Path | None = None  # the directory whose disk refuses
        self._dropped = 0
        self._unsettled: dict[str, list[tuple[int, int]]] = {}
        self._said_full = False
        self._committer = Committer(store, disk, clock, options, log, power_on, self._committed)

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
        power_on: str = "",
        log: logging.Logger | None = None,
    ) -> Self:
        """Open or create the outbox in `directory`. A damaged file is set aside and what is intact in it taken over.

        Raises:
            OutboxLockedError: another process has it.
            OutboxError: it belongs to another gateway or a newer version, or the disk refuses.
        """
        log = log or logging.getLogger("tocsin.outbox")
        try:
            await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True, mode=0o700)
            lock = DirectoryLock(directory)
        except OSError as exc:
            raise OutboxError(
                f"the outbox in {directory} cannot be opened: {exc.strerror}",
                hint="are the directory's permissions right, is it mounted for writing?",
            ) from exc
        disk = Disk(directory)
        opening = partial(
            open_store, directory, site=site, gateway=gateway, options=options, codec=codec,
            now_ns=clock.now_ns(), power_on=power_on,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        try:
            store = await loop.run_in_executor(disk.executor, opening)
        except BaseException:
            disk.executor.shutdown(wait=False)
            lock.close()
            raise
        self = cls(store, lock, disk, clock, options, log, power_on)
        self._salvaging = asyncio.create_task(self._salvage(directory), name="outbox-salvage")
        await asyncio.wait({self._salvaging}, timeout=_SALVAGE_PATIENCE_S)
        return self

    async def _salvage(self, directory: Path) -> None:
        """A large file takes minutes: it goes on beside everything else."""
        try:
            for aside in await asyncio.to_thread(salvage.waiting, directory):
                await self._take_over(aside)
            if self._store.tail_lost:
                await self._tell_power_cut()
        except (OutboxError, OSError) as exc:  # at the next start again
            self._log.error("a damaged outbox is not taken over completely: %s", exc)

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self._disk.directory

    async def bring_back(self, file: Path) -> int:
        """Take over what another outbox file of ours still has to send, and trust no older command; how many rows.

        Raises:
            OutboxError: the disk refuses.
        """
        name = await asyncio.to_thread(salvage.identity, file)
        taking = await self._adopt(file, name)
        await self.distrust_commands()
        return taking.rows

    async def distrust_commands(self) -> None:
        """Which commands were carried out before now is not known."""
        await self._disk.call(self._store.memory.lost_commands, self._clock.now_ns())

    async def _adopt(self, file: Path, name: str) -> TakeOver:
        taking = TakeOver(self._store, file, name, self._clock.now_ns())
        more = True
        while more:
            dropped: list[Gap] = []
            more = await self._disk.call(taking.step, dropped)
            for stream in taking.streams:
                if stream in self._store.streams:
                    self._acks.replace(stream, self._store.streams[stream].settled)
            self._committed(dropped)
        self.rearranged += 1
        return taking

    async def _take_over(self, aside: Path) -> None:
        if not await self._disk.call(self._store.memory.is_taken_over, aside.name):
            taking = await self._adopt(aside, aside.name)
            self._log.error("%s", await self._disk.call(taking.tell))
            self.changed.set()
        self.salvaged += 1
        await asyncio.to_thread(salvage.finish, aside)

    async def _tell_power_cut(self) -> None:
        text = f"{self._store.tail_lost}; its newest readings may be lost, numbers begin anew"
        self._log.warning("%s", text)
        await self.put_event("outbox.power-cut", "", text, {"fsync": self._options.fsync})

    def set_clock_state(self, state: ClockState, epoch: int) -> None:
        """What the next chunks say of the gateway's clock."""
        self._store.clock_state, self._store.epoch = state, epoch

    def set_codec(self, codec: Codec) -> None:
        """Seal telemetry so from now on."""
        self._store.codec = codec

    @property
    def last_clock(self) -> tuple[int, int]:
        """(epoch, wall clock in ns) at the last commit of telemetry; the clock is 0 when there was none."""
        return self._store.epoch, self._store.wall_ns

    async def put_rows(self, rows: Sequence[Row], *, stamped: bool = True) -> None:
        """Hand rows over; they are committed within the commit interval. Waits while too many wait for the disk.

        Rows that are not `stamped` have monotonic times; they are kept until `release`.

        Raises:
            OutboxCorruptError: the file broke; a restart salvages it.
        """
        await self._committer.put(rows, stamped=stamped)

    async def put_rows_durable(self, rows: Sequence[Row]) -> None:
        """Return once `rows` and everything before them are committed.

        Raises:
            OutboxCorruptError: the file broke; a restart salvages it.
        """
        await self._committer.put_durable(rows)

    async def offer_rows(
        self, rows: Sequence[Row], held: Sequence[Row], polled: Polled | None = None
    ) -> bool:
        """`put_rows` for both; False, and nothing taken, when the disk refuses and no more rows may wait for it.

        `polled` are those of both that no source sends again (None: all): should the agent end while the disk refuses
        them, the next one tells that they are lost.

        Raises:
            OutboxCorruptError: the file broke; a restart salvages it.
        """
        return await self._committer.offer(rows, held, polled)

    def shed(self, rows: Sequence[Row], *, stamped: bool = True) -> None:
        """Rows that found no room are given up; a gap marker tells of them once the disk takes it."""
        self._committer.shed(rows, stamped=stamped)

    @property
    def refuses(self) -> bool:
        """Whether the disk refused what it was given last; it is asked again every second."""
        return self._committer.refuses

    @property
    def holds(self) -> int:
        """Rows that wait for a known time."""
        return self._store.held.count + self._committer.held

    async def held_ends(self) -> list[tuple[str, int]]:
        """(power-on, its last monotonic time) of the held rows, oldest first."""
        return await self._disk.call(self._store.held.ends)

    async def first_held(self) -> HeldPart | None:
        """The oldest held rows."""
        return await self._disk.call(self._store.held.first)

    async def release(self, held: HeldPart, rows: Sequence[Row]) -> None:
        """Seal and commit what `held` became; it is held no longer."""
        dropped = await self._disk.call(self._store.release, held, rows, self._clock.now_ns())
        self.changed.set()
        self._take_note(dropped)

    async def commands(self) -> tuple[dict[str, int], int]:
        """Ids of commands already carried out with their expiry, and since when none is forgotten."""
        return await self._disk.call(self._store.memory.commands)

    async def orders(self) -> dict[str, str]:
        """Notes of commands that have no result yet, by id."""
        return await self._disk.call(self._store.memory.orders)

    async def remember_command(self, command_id: str, expires_ns: int, note: str = "") -> None:
        """Commit that this command is carried out, with a note that stays until its result is told.

        Raises:
            OutboxError: the disk refuses.
        """
        now_ns = self._clock.now_ns()
        await self._disk.call(self._store.remember_command, command_id, expires_ns, now_ns, note)

    async def put_alarms(
        self,
        drafts: Sequence[AlarmDraft],
        states: Mapping[str, str] | None = None,
        n: int = 0,
        *,
        all_of_them: bool = False,
    ) -> list[Alarm]:
        """Commit alarm transitions now, ahead of buffered rows, all or none, and with them what became of their states.

        Raises:
            OutboxFullError: the cap is reached by alarms alone.
        """
        now_ns = self._clock.now_ns()
        alarms, dropped = await self._disk.call(
            self._store.append_alarms, drafts, states or {}, n, now_ns, all_of_them=all_of_them
        )
        self.changed.set()
        self._take_note(dropped)
        return alarms

    async def alarm_states(self) -> tuple[list[str], int]:
        """As the last `put_alarms` left them, and its `n`."""
        return await self._disk.call(self._store.memory.alarms)

    async def put_event(
        self,
        kind: str,
        device: str = "",
        text: str = "",
        data: dict[str, object] | None = None,
        *,
        order: tuple[str, str] | None = None,
    ) -> Event:
        """Commit one event now, and with it the new note of an open command (id, note; "" drops it).

        Raises:
            OutboxFullError: the cap is reached by alarms alone.
        """
        event, dropped = await self._disk.call(
            self._store.append_event, kind, device, text, data or {}, self._clock.now_ns(), order
        )
        self.changed.set()
        self._take_note(dropped)
        return event

    async def put_events(
        self, told: Sequence[tuple[str, str, str, dict[str, object]]]
    ) -> list[Event]:
        """Commit several events (kind, device, text, data) now, all or none.

        Raises:
            OutboxFullError: the cap is reached by alarms alone.
        """
        events, dropped = await self._disk.call(
            self._store.append_events, told, self._clock.now_ns()
        )
        self.changed.set()
        self._take_note(dropped)
        return events

    async def pending(
        self, cls: str, *, after: int = 0, upto: int | None = None, limit: int = 32
    ) -> list[Chunk]:
        """Chunks of a class the cloud has not committed, with `after` < id <= `upto`, oldest first."""
        return await self._disk.call(
            self._store.pending, cls, after, upto, limit, self._clock.now_ns()
        )

    async def first_pending(self, cls: str) -> int:
        """Where to start reading: every uncommitted chunk of `cls` has a greater id."""
        return await self._disk.call(self._store.first_pending, cls)

    async def newest(self, cls: str, limit: int) -> list[bytes]:
        """The last chunks of a class that are still there, committed by the cloud or not, newest first."""
        return await self._disk.call(self._store.newest, cls, limit)

    def newest_id(self, cls: str) -> int:
        """No chunk of a class has a greater id."""
        return self._store.newest_ids[cls]

    async def last_id(self) -> int:
        """The id of the newest chunk: what comes later is live."""
        return await self._disk.call(self._store.last_id)

    def is_settled(self, chunk: Chunk) -> bool:
        """Whether the cloud has committed or refused all of it, or it was dropped."""
        return self._acks.is_settled(chunk)

    def is_overtaken(self, chunk: Chunk) -> bool:
        """Whether the cloud settled something later of the same stream: `chunk` is missing, not merely waiting."""
        return self._acks.is_overtaken(chunk)

    async def settle(self, ack: CommitAck) -> int:
        """Take in one ingester's commit-ack; how many numbers it settled that were not before.

        An ingester that has less than it had before was restored from a backup: what it lost and is still kept is
        pending again, and `taken_back` has grown.
        """
        streams = self._store.streams
        told = self._acks.take(ack, {s.ulid: s.next_seq for s in list(streams.values())})
        for stream, ranges in told.news.items():
            self._unsettled.setdefault(stream, []).extend(ranges)
        if ack.ingester not in self._acks.ingesters:
            known = sorted((*self._acks.ingesters, ack.ingester))
            await self._disk.call(self._store.memory.save_ingesters, known)
            self._acks.ingesters.add(ack.ingester)
        if self._unsettled or told.lost:
            await self._keep_told(ack.ingester, told)
        return told.count

    async def _keep_told(self, ingester: str, told: Told) -> None:
        """On the disk, all of it or none; what it refuses is kept with the next ack."""
        news, self._unsettled = self._unsettled, {}
        lost, now_ns = told.lost, self._clock.now_ns()
        try:
            count, text = await self._disk.call(
                self._store.settle, news, lost, told.asked, ingester, now_ns
            )
        except OutboxError:
            for stream, ranges in news.items():
                self._unsettled.setdefault(stream, []).extend(ranges)
            raise
        self._said_full = False
        self._acks.taken_back(ingester, lost)
        for name in lost:
            if name in self._store.streams:
                self._acks.replace(name, self._store.streams[name].settled)
        if text:
            self.taken_back += count
            self.rearranged += bool(count)
            self.changed.set()
            self._log.warning("%s", text)

    def stream_states(self) -> list[StreamState]:
        """Every stream with what it can still send."""
        return [s.state() for s in list(self._store.streams.values())]

    @property
    def unjournalled_ms(self) -> int:
        """Longest time an acquired row may wait for its commit, or has waited already: what a kill can cost."""
        return max(self._options.commit_interval_ms, self._committer.waits_ns // 1_000_000)

    def stats(self) -> OutboxStats:
        """Counters and sizes now."""
        store, streams = self._store, list(self._store.streams.values())
        return OutboxStats(
            pending_rows=sum(s.pending for s in streams if s.cls == topics.TELEMETRY),
            pending_alarms=sum(s.pending for s in streams if s.cls == topics.ALARM),
            buffered_rows=self._committer.buffered,
            bytes=store.room.used,
            cap_bytes=self._options.max_bytes,
            volatile=self.volatile,
            commits=store.commits,
            rows=store.rows,
            readings=store.readings,
            payload_bytes=store.payload_bytes,
            written_bytes=store.written_bytes,
            dropped_rows=self._dropped + self._committer.dropped,
            oversized_rows=store.oversized,
            coalesced_alarms=store.repeats.folded,
            commit_failures=self._committer.failures,
        )

    async def aclose(self) -> None:
        """Commit what is buffered, close the file, free the lock."""
        self._salvaging.cancel()
        await asyncio.gather(self._salvaging, return_exceptions=True)
        try:
            await self._committer.aclose()
        finally:
            self._disk.executor.submit(self._store.close)
            await asyncio.to_thread(self._disk.executor.shutdown)
            self._lock.close()

    def _committed(self, dropped: list[Gap]) -> None:
        self.changed.set()
        self._take_note(dropped)

    def _take_note(self, dropped: list[Gap]) -> None:
        """Count and log what had to make room; the event about it was committed with it."""
        if not dropped:
            return
        rows = sum(gap.rows for gap in dropped)
        self._dropped += rows
        for gap in dropped:
            if gap.stream:
                self._acks.drop(gap.stream, gap.lo, gap.hi)
        if not self._said_full:
            text = "%d oldest rows were given up: the outbox is full; more may follow"
            self._log.warning(text, rows)
            self._said_full = True
