"""What the gateway knows of the time, and what becomes of readings taken while it knows nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge.alarm_desk import AlarmDesk
from edge.alarm_file import AlarmFile
from edge.devices import Devices
from edge.flow import Flow
from edge.options import OutboxOptions
from edge.outbox import Outbox
from edge.pipeline import AlarmRule, Pipeline
from edge.timekeeper import Discipline, Timekeeper, kernel_discipline, offsets, power_on
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Alarm, AlarmChange, Batch, ClockState
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample

S = 1_000_000_000
EARLIEST = 1_700_000_000 * S
NOON = 1_800_000_000 * S
GAS = DeviceSpec("gas-01", "gas", (Channel("h2s", "[ppm]"),))
NTP = Discipline(synchronised=True, error_ms=12.5)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, wall_ns: int, mono_ns: int = 0) -> None:
        self.wall_ns, self.at_ns = wall_ns, mono_ns

    def now_ns(self) -> int:
        return self.wall_ns

    def mono_ns(self) -> int:
        return self.at_ns

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0.005)

    def passes(self, seconds: float) -> None:
        """Time goes by."""
        self.wall_ns += int(seconds * S)
        self.at_ns += int(seconds * S)


class Gateway:
    """Pipeline, flow and outbox of one run, on a clock of the test's own."""

    def __init__(
        self, folder: Path, outbox: Outbox, clock: HandClock, name: str, on_delay_s: int
    ) -> None:
        self.outbox, self.clock = outbox, clock
        rule = AlarmRule("gas-01", "h2s", "h2s-high", level1=10.0, on_delay_ns=on_delay_s * S)
        timekeeper = Timekeeper(lambda: NTP, earliest_ns=EARLIEST, power_on=name)
        epoch, last_wall_ns = outbox.last_clock
        pipeline = Pipeline(
            [GAS], alarms=[rule], earliest_ns=EARLIEST, epoch=epoch, last_wall_ns=last_wall_ns
        )
        desk = AlarmDesk(pipeline.board, AlarmFile(folder / "alarms.json"), outbox, (), clock)
        self.said: list[tuple[str, dict[str, object]]] = []
        devices = Devices(pipeline, self._say)
        devices.add("s", (GAS,))
        self.flow = Flow(
            pipeline, outbox, desk, devices, clock, self._say, timekeeper, queue_samples=9
        )

    def _say(self, kind: str, device: str, text: str, data: dict[str, object]) -> None:
        self.said.append((kind, data))

    async def take(self, *values: float) -> None:
        """One sample of each value, a second apart, judged and committed."""
        for value in values:
            await self.flow.put(Sample(GAS, self.clock.now_ns(), (value,)))
            running = asyncio.create_task(self.flow.run())
            await self.flow.drained()
            running.cancel()
            self.clock.passes(1)
        await self.outbox.put_rows_durable([])

    async def rows(self) -> list[tuple[int, float, int]]:
        """(time, value, quality) of every sealed row, in their order."""
        found = []
        for batch in await self.batches():
            for group in batch.groups:
                marks = {row: code for row, _, code in group.quality}
                unit = {"ns": 1, "us": 1000, "ms": 1_000_000}[batch.tu]
                for i, (at, value) in enumerate(zip(group.times, group.columns[0], strict=True)):
                    assert isinstance(value, float)
                    found.append((batch.t0 + at * unit, value, marks.get(i, 0)))
        return found

    async def batches(self) -> list[Batch]:
        chunks = await self.outbox.pending("telemetry")
        return [decode_body(decode_header(c.payload), c.payload, Batch) for c in chunks]

    async def alarms(self) -> list[Alarm]:
        chunks = await self.outbox.pending("alarm")
        return [decode_body(decode_header(c.payload), c.payload, Alarm) for c in chunks]


@asynccontextmanager
async def gateway(
    folder: Path, clock: HandClock, name: str = "first", on_delay_s: int = 0
) -> AsyncIterator[Gateway]:
    """One run of the gateway since the power-on `name`."""
    outbox = await Outbox.open(
        folder / "outbox",
        site="s",
        gateway="g",
        clock=clock,
        options=OutboxOptions(commit_interval_ms=1),
        power_on=name,
    )
    try:
        yield Gateway(folder, outbox, clock, name, on_delay_s)
    finally:
        await outbox.aclose()


UNSET = int(Quality.CLOCK_UNSET)


async def test_readings_before_the_time_is_known_wait_for_it_and_are_flagged(
    tmp_path: Path,
) -> None:
    clock = HandClock(0, 100 * S)
    async with gateway(tmp_path, clock) as gw:
        await gw.take(1.0, 2.0)
        assert (await gw.rows(), gw.outbox.holds) == ([], 2)
        clock.wall_ns = NOON
        await gw.take(3.0)
        assert await gw.rows() == [
            (NOON - 2 * S, 1.0, UNSET),
            (NOON - 1 * S, 2.0, UNSET),
            (NOON, 3.0, 0),
        ]
        assert gw.outbox.holds == 0
        assert {b.clock for b in await gw.batches()} == {ClockState("ntp", 12.5)}
        assert [kind for kind, _ in gw.said] == ["clock.set"]
        assert gw.said[0][1]["rows"] == 2


async def test_an_alarm_before_the_time_is_known_goes_at_once_and_says_so(tmp_path: Path) -> None:
    clock = HandClock(7 * S)
    async with gateway(tmp_path, clock) as gw:
        await gw.take(12.0)
        (alarm,) = await gw.alarms()
        assert (alarm.change, alarm.t, alarm.clock.state) == (AlarmChange.RAISED, 7 * S, "unset")
        event = await gw.outbox.put_event("agent.started", "", "", {"boot": "b"})
        assert event.data == {"boot": "b", "clock": "unset"}
        assert await gw.rows() == []


async def test_a_sample_that_was_taken_before_and_judged_after_the_clock_was_set_is_stamped(
    tmp_path: Path,
) -> None:
    clock = HandClock(0, 100 * S)
    async with gateway(tmp_path, clock) as gw:
        await gw.flow.put(Sample(GAS, clock.now_ns(), (1.0,)))
        clock.wall_ns, clock.at_ns = NOON, 105 * S
        await gw.take(2.0)
        assert await gw.rows() == [(NOON - 5 * S, 1.0, UNSET), (NOON, 2.0, 0)]


async def test_held_readings_survive_restarts_and_power_cuts_in_their_order(
    tmp_path: Path,
) -> None:
    clock = HandClock(0, 100 * S)
    async with gateway(tmp_path, clock, "first") as gw:
        await gw.take(1.0, 2.0)
    async with gateway(tmp_path, HandClock(0, 50 * S), "second") as gw:
        await gw.take(3.0)
    clock = HandClock(0, 60 * S)
    async with gateway(tmp_path, clock, "second") as gw:
        assert gw.outbox.holds == 3
        await gw.take(4.0)
        clock.wall_ns, clock.at_ns = NOON, 70 * S
        await gw.flow.tick()
        rows = await gw.rows()
    assert [(value, q) for _, value, q in rows] == [(v, UNSET) for v in (1.0, 2.0, 3.0, 4.0)]
    times = [at for at, _, _ in rows]
    assert times[2:] == [NOON - 20 * S, NOON - 10 * S]
    assert times[1] - times[0] == S
    assert times[1] == NOON - 70 * S - 1, "before the second power-on, as late as can be"


async def test_a_clock_that_went_back_across_a_restart_opens_a_new_epoch(tmp_path: Path) -> None:
    async with gateway(tmp_path, HandClock(NOON)) as gw:
        await gw.take(1.0)
        assert gw.said == []
    async with gateway(tmp_path, HandClock(NOON - 3600 * S), "second") as gw:
        await gw.take(2.0)
        assert [kind for kind, _ in gw.said] == ["clock.stepped"]
        assert gw.said[0][1]["epoch"] == 1
        assert gw.said[0][1]["step_s"] in (-3600.0, -3601.0)
        assert [b.epoch for b in await gw.batches()] == [0, 1]
    async with gateway(tmp_path, HandClock(NOON - 3000 * S), "third") as gw:
        await gw.take(3.0)
        assert gw.said == []
        assert [b.epoch for b in await gw.batches()] == [0, 1, 1]


async def test_stamps_go_on_increasing_across_a_restart_within_an_epoch(tmp_path: Path) -> None:
    async with gateway(tmp_path, HandClock(NOON)) as gw:
        await gw.take(1.0)
    async with gateway(tmp_path, HandClock(NOON + S // 2)) as gw:
        await gw.take(2.0)
        times = [at for at, _, _ in await gw.rows()]
    assert times == sorted(set(times))


async def test_an_on_delay_ends_without_a_further_sample(tmp_path: Path) -> None:
    clock = HandClock(NOON)
    async with gateway(tmp_path, clock, on_delay_s=10) as gw:
        await gw.take(12.0)
        clock.passes(8)
        await gw.flow.tick()
        assert await gw.alarms() == []
        clock.passes(1)
        await gw.flow.tick()
        await gw.flow.tick()
        (alarm,) = await gw.alarms()
        assert (alarm.change, alarm.value, alarm.t) == (AlarmChange.RAISED, 12.0, NOON + 10 * S)
        await gw.take(13.0)
        assert len(await gw.alarms()) == 1


async def test_a_value_that_came_back_stops_the_on_delay(tmp_path: Path) -> None:
    clock = HandClock(NOON)
    async with gateway(tmp_path, clock, on_delay_s=10) as gw:
        await gw.take(12.0, 1.0)
        clock.passes(60)
        await gw.flow.tick()
        assert await gw.alarms() == []


def test_the_clock_is_unset_free_or_disciplined() -> None:
    found: list[Discipline | None] = [None, Discipline(synchronised=False), NTP]
    keeper = Timekeeper(lambda: found.pop(0), earliest_ns=EARLIEST)
    assert keeper.look(EARLIEST - 1, 0) == ClockState("unset")
    assert keeper.look(NOON, 0) == ClockState("free")
    assert keeper.look(NOON, S) == ClockState("free")
    assert keeper.look(NOON, 2 * S) == ClockState("ntp", 12.5)
    assert keeper.look(NOON, 3 * S - 1) == ClockState("ntp", 12.5), "asked once a second"
    assert keeper.look(0, 3 * S) == ClockState("unset")


def test_the_kernel_tells_of_its_clock_and_of_its_power_on() -> None:
    found = kernel_discipline()
    assert found is None or found.synchronised is (found.error_ms is not None)
    assert power_on() == power_on() != ""


def test_earlier_power_ons_end_where_the_next_one_begins() -> None:
    ends = [("a", 10), ("b", 20), ("c", 30)]
    assert offsets(ends, "c", 1000) == {"c": 1000, "b": 979, "a": 968}
    assert offsets([], "c", 1000) == {"c": 1000}
