"""From the drivers' samples through the pipeline into the outbox: one bounded queue, one task."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from edge.alarm_desk import AlarmDesk
from edge.devices import Devices, Say
from edge.journal import Journal
from edge.kept_before import KeptBefore
from edge.pipeline import DeviceJudge, Pipeline
from edge.timekeeper import Timekeeper, offsets
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.errors import OutboxCorruptError, OutboxError
from tocsin.sdk import Clock, Sample

TICK_S = 0.25
_log = logging.getLogger("edge.flow")
_BURST = 64  # samples judged before the outbox and the other tasks get a turn

Listener = Callable[[Row], None]
Sampler = Callable[[Sample], None]


_Left = tuple[list[Row], list[Row]]


class _Burst(NamedTuple):
    """Samples that came together, each with who judges it (as the configuration stood when it came).

    `pushed`: their source sends again what is not answered. `judged` is for whoever waits for it; its result is what the
    outbox did not take, stamped and not.
    """

    samples: list[tuple[DeviceJudge, Sample]]
    mono_ns: int
    pushed: bool = False
    judged: asyncio.Future[_Left] | None = None


class _Bursts(asyncio.Queue[_Burst]):
    """Bounded by the samples in it; the bound may be moved while it is in use. A burst is taken whole."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.samples = limit, 0

    def full(self) -> bool:
        return self.samples >= self.limit

    def _put(self, item: _Burst) -> None:
        self.samples += len(item.samples)
        super()._put(item)

    def _get(self) -> _Burst:
        item: _Burst = super()._get()
        self.samples -= len(item.samples)
        return item


class Flow:
    """`put` waits while the queue is full, so that drivers slow down and nothing is dropped.

    Only when the disk refuses what it is given, and no more rows may wait for that, polled ones are given up: judging goes
    on, so that alarms still sound.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        journal: Journal,
        desk: AlarmDesk,
        devices: Devices,
        clock: Clock,
        say: Say,
        timekeeper: Timekeeper,
        *,
        queue_samples: int,
    ) -> None:
        self._pipeline, self._journal, self._desk = pipeline, journal, desk
        self._devices, self._clock, self._say = devices, clock, say
        self._timekeeper = timekeeper
        self._turn = asyncio.Lock()
        self._queue = _Bursts(queue_samples)
        self._listeners: set[Listener] = set()
        self._samplers: set[Sampler] = set()
        self._kept_before = KeptBefore()
        self.counters: Counter[str] = Counter()
        self.processed = self.readings = 0

    async def put(self, sample: Sample) -> None:
        """Take one sample; waits while the queue is full.

        Raises:
            ValueError: not a sample of a device its driver announced.
        """
        await self._queue.put(_Burst([self._known(sample)], self._clock.mono_ns()))

    def remember(self, kept_before: KeptBefore) -> None:
        """What the last run kept: of a push source it is not kept twice."""
        self._kept_before = kept_before

    async def keep(self, samples: Sequence[Sample]) -> None:
        """Take samples and return when they are durable: what a push source must wait for before it answers.

        Raises:
            ValueError: as `put`.
        """
        if not samples:
            return
        known = [self._known(sample) for sample in samples]
        judged: asyncio.Future[_Left] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Burst(known, self._clock.mono_ns(), pushed=True, judged=judged))
        rows, held = await judged
        if rows or held:  # they wait here, while others go on being judged
            await self._journal.put_rows(rows)
            await self._journal.put_rows(held, stamped=False)
        await self._journal.put_rows_durable([])

    def _known(self, sample: Sample) -> tuple[DeviceJudge, Sample]:
        spec = sample.spec
        try:
            self._devices.took(sample)
            judge = self._pipeline.judge(spec.id)
        except KeyError:
            raise ValueError(f"no device {spec.id!r} was announced") from None
        if len(sample.values) != len(spec.channels):
            raise ValueError(
                f"{spec.id}: {len(sample.values)} values, {len(spec.channels)} announced"
            )
        for sampler in self._samplers:
            sampler(sample)
        return judge, sample

    def resize(self, queue_samples: int) -> None:
        """Let so many samples wait from now on."""
        self._queue.limit = queue_samples

    @property
    def waiting(self) -> int:
        """Samples in the queue."""
        return self._queue.samples

    def listen(self, listener: Listener) -> None:
        """Hear every stored row; it must not block."""
        self._listeners.add(listener)

    def unlisten(self, listener: Listener) -> None:
        """Hear no more."""
        self._listeners.discard(listener)

    def sample(self, sampler: Sampler) -> None:
        """Hear every sample as its driver gave it; it must not block."""
        self._samplers.add(sampler)

    def unsample(self, sampler: Sampler) -> None:
        """Hear no more."""
        self._samplers.discard(sampler)

    async def run(self) -> None:
        """Judge and keep until cancelled."""
        while True:
            bursts = [await self._queue.get()]
            count = len(bursts[0].samples)
            while count < _BURST and not self._queue.empty():
                bursts.append(self._queue.get_nowait())
                count += len(bursts[-1].samples)
            await self._judge(bursts)
            for burst in bursts:
                self._queue.task_done()
                if burst.judged is not None and not burst.judged.done():
                    burst.judged.set_result(([], []))

    async def drained(self) -> None:
        """Wait until everything taken is with the outbox."""
        await self._queue.join()

    def abandon(self) -> int:
        """Empty the queue at the very end; how many values were still in it."""
        lost = 0
        while not self._queue.empty():
            for _, sample in self._queue.get_nowait().samples:
                lost += len(sample.values) - sample.values.count(None)
        return lost

    async def watch(self) -> None:
        """What happens by time alone: the clock's state, and on-delays that end without a sample."""
        while True:
            await self._clock.sleep(TICK_S)
            await self.tick()

    async def tick(self) -> None:
        """Look at the clock and at running on-delays."""
        async with self._turn:
            await self._observe()
            drafts = self._pipeline.board.tick(self._clock.now_ns(), self._clock.mono_ns())
            await self._desk.publish(drafts)

    async def _observe(self) -> int | None:
        """Tell what became of the clock; what to add to monotonic time for wall time, None while that is unknown."""
        wall_ns, mono_ns = self._clock.now_ns(), self._clock.mono_ns()
        state = self._timekeeper.look(wall_ns, mono_ns)
        if state.state == "unset":
            self._journal.set_clock_state(state, self._pipeline.epochs.epoch)
            return None
        step = self._pipeline.observe_clock(wall_ns, mono_ns)
        self._journal.set_clock_state(state, self._pipeline.epochs.epoch)
        if step is not None:
            seconds = step.step_ns / 1e9
            self._say(
                "clock.stepped",
                "",
                f"the clock went back {-seconds:.3f} s",
                {"epoch": step.epoch, "step_s": seconds, "wall_ns": step.wall_ns},
            )
        if self._journal.holds and not self._journal.refuses:
            try:
                await self._stamp_held(wall_ns - mono_ns)
            except OutboxCorruptError:
                raise
            except OutboxError as exc:
                _log.error("readings wait for their stamps: %s", exc.message)
        return wall_ns - mono_ns

    async def _stamp_held(self, offset_ns: int) -> None:
        """Give the rows that waited for the time their stamps, oldest first."""
        await self._journal.put_rows_durable([])
        ends = await self._journal.held_ends()
        added = offsets(ends, self._timekeeper.power_on, offset_ns)
        stamped = 0
        while (part := await self._journal.first_held()) is not None:
            add_ns = added[part.power_on]
            rows = [self._pipeline.stamp(row, row.time_ns + add_ns) for row in part.rows]
            await self._journal.release(part, rows)
            stamped += len(rows)
        self._say(
            "clock.set",
            "",
            f"the time is known; {stamped} rows were stamped",
            {"rows": stamped, "offset_ns": offset_ns},
        )

    async def _judge(self, bursts: list[_Burst]) -> None:
        async with self._turn:
            offset_ns = await self._observe()
            rows: list[Row] = []
            held: list[Row] = []
            ends: list[tuple[int, int]] = []
            polled: tuple[list[Row], list[Row]] = ([], [])
            drafts: list[AlarmDraft] = []
            for burst in bursts:
                for judge, sample in burst.samples:
                    out = judge.process(sample, burst.mono_ns)
                    if burst.pushed and any(map(self._kept_before.holds, out.rows)):
                        self.counters["resent_over_restart"] += 1
                    elif out.stamped:
                        rows += out.rows
                    elif offset_ns is None:
                        held += out.rows
                    else:  # taken before the clock was set, judged after it
                        rows += [self._pipeline.stamp(r, r.time_ns + offset_ns) for r in out.rows]
                    if out.suppressed:
                        self.counters["suppressed"] += out.suppressed
                    if out.alarms:
                        drafts += _shown(out.alarms, sample.evidence)
                self.processed += len(burst.samples)
                if not burst.pushed:
                    row_end, hold_end = ends[-1] if ends else (0, 0)
                    polled[0].extend(rows[row_end:])
                    polled[1].extend(held[hold_end:])
                ends.append((len(rows), len(held)))
            await self._desk.publish(drafts)
            for row in (*rows, *held):
                self.readings += len(row.values) - row.values.count(None)
                self._devices.stored(row)
                for listener in self._listeners:
                    listener(row)
            if (rows or held) and not await self._journal.offer_rows(rows, held, polled):
                self._leave(bursts, rows, held, ends)

    def _leave(
        self, bursts: list[_Burst], rows: list[Row], held: list[Row], ends: list[tuple[int, int]]
    ) -> None:
        """The outbox has no room and gets none: alarms must still be judged. Who pushed waits; what was polled goes."""
        row = hold = 0
        for burst, (row_end, hold_end) in zip(bursts, ends, strict=True):
            left = rows[row:row_end], held[hold:hold_end]
            row, hold = row_end, hold_end
            if burst.judged is None:
                self._journal.shed(left[0])
                self._journal.shed(left[1], stamped=False)
            elif not burst.judged.done():
                burst.judged.set_result(left)


def _shown(drafts: Sequence[AlarmDraft], evidence: str) -> Sequence[AlarmDraft]:
    """Alarms with the picture of the sample that they are of."""
    return [msgspec.structs.replace(d, evidence=evidence) for d in drafts] if evidence else drafts
