"""Supervisor, flow, outputs, buttons and notifications, each with real files, sockets and queues."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from edge.alarm_desk import AlarmDesk
from edge.alarm_file import AlarmFile
from edge.config import InputConfig, OutputConfig
from edge.devices import Devices
from edge.events import EventQueue
from edge.flow import Flow
from edge.notify import Notifier
from edge.options import OutboxOptions
from edge.outbox import Outbox
from edge.outputs import FileButton, FileOutput
from edge.pipeline import AlarmRule, Pipeline
from edge.pipeline.alarms import AlarmState
from edge.supervisor import Supervised, backoff_s
from edge.timekeeper import Timekeeper
from edge.watchdog import Mark, Watchdog
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import Alarm
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import (
    Channel,
    DeviceSpec,
    Driver,
    DriverConfig,
    DriverContext,
    ProbeLine,
    Sample,
    SystemClock,
)
from tocsin.testing import wait_until
from tocsin.testing.contexts import keeping

GAS = DeviceSpec("gas-01", "gas", (Channel("h2s", "[ppm]"),))
RULE = AlarmRule("gas-01", "h2s", "h2s-high", level1=10.0)
Said = list[tuple[str, str]]


class QuickClock(SystemClock):
    """Waits no longer than a moment; remembers how long it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


class Script:
    """A driver whose runs follow a script: an exception to raise, or a value to emit."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = DriverConfig

    def __init__(self, context: DriverContext, steps: list[Exception | float]) -> None:
        self._context, self._steps = context, steps

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return (GAS,)

    async def probe(self) -> list[ProbeLine]:
        return []

    async def run(self) -> None:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            await self._context.emit(Sample(GAS, self._context.clock.now_ns(), (step,)))


def supervised(
    steps: list[Exception | float], on_start_failure: str = "retry"
) -> tuple[Supervised, Counter[str], Said, QuickClock]:
    """A driver under supervision with what it says and counts."""
    said: Said = []
    pipeline, clock, counters = Pipeline([GAS]), QuickClock(), Counter[str]()
    devices = Devices(pipeline, lambda kind, device, text, data: said.append((kind, device)))
    config = DriverConfig.model_validate(
        {"type": "script", "name": "s", "on_start_failure": on_start_failure}
    )

    async def emit(sample: Sample) -> None:
        devices.took(sample)

    context = DriverContext(
        name="s", clock=clock, log=logging.getLogger("s"), emit=emit, keep=keeping(emit),
        available=devices.recovered, unavailable=devices.unavailable, count=lambda n, k: None,
    )  # fmt: skip
    devices.add("s", (GAS,))

    def build() -> Driver:
        return Script(context, steps)

    return Supervised(config, build, devices, clock, counters), counters, said, clock


async def test_a_driver_is_run_again_with_growing_patience_until_its_source_ends() -> None:
    gone = LinkError(DriverReason.NO_PORT, "gone")
    driver, counters, said, clock = supervised([gone, gone, 1.0, gone, KeyError("bug"), 2.0])
    await driver.run()
    assert driver.state == "finished"
    assert counters == {"driver_errors": 3, "driver_crashes": 1, "driver_restarts": 4}
    assert said == [
        ("device.unavailable", "gas-01"),
        ("device.recovered", "gas-01"),
        ("device.unavailable", "gas-01"),
        ("device.unavailable", "gas-01"),  # it crashed: another reason
        ("device.recovered", "gas-01"),
    ]
    assert all(s <= limit for s, limit in zip(clock.asked, (1, 2, 4, 8), strict=True))


@pytest.mark.parametrize("policy", ["error", "ignore"])
async def test_what_never_worked_follows_its_start_policy(policy: str) -> None:
    gone = LinkError(DriverReason.NO_PORT, "gone")
    driver, _, _, _ = supervised([gone], policy)
    if policy == "error":
        with pytest.raises(LinkError):
            await driver.run()
    else:
        await driver.run()
    assert driver.state == "failed"


async def test_the_start_policy_is_about_the_start_only() -> None:
    driver, counters, _, _ = supervised([1.0, LinkError(DriverReason.CLOSED, "cut"), 2.0], "error")
    await driver.run()
    assert (driver.state, counters["driver_restarts"]) == ("finished", 1)


def test_the_delay_has_full_jitter_and_a_ceiling() -> None:
    assert [backoff_s(n, lambda lo, hi: hi) for n in (0, 1, 2, 6, 99)] == [1, 2, 4, 60, 60]
    assert backoff_s(3, lambda lo, hi: lo) == 0


async def open_outbox(folder: Path) -> Outbox:
    """A real outbox."""
    return await Outbox.open(
        folder / "outbox", site="s", gateway="g", clock=SystemClock(), options=OutboxOptions()
    )


def desk_on(folder: Path, outbox: Outbox, *outputs: FileOutput) -> tuple[Pipeline, AlarmDesk]:
    """A pipeline with one alarm and its desk."""
    pipeline = Pipeline([GAS], alarms=[RULE])
    desk = AlarmDesk(
        pipeline.board, AlarmFile(folder / "alarms.json"), outbox, outputs, SystemClock()
    )
    return pipeline, desk


async def kept_alarms(outbox: Outbox) -> list[Alarm]:
    """Alarm messages in an outbox."""
    chunks = await outbox.pending("alarm")
    return [decode_body(decode_header(c.payload), c.payload, Alarm) for c in chunks]


async def test_the_flow_slows_its_source_loses_nothing_and_refuses_strangers(
    tmp_path: Path,
) -> None:
    outbox = await open_outbox(tmp_path)
    try:
        pipeline, desk = desk_on(tmp_path, outbox)
        events = EventQueue(outbox, SystemClock())
        devices = Devices(pipeline, events.say)
        devices.add("s", (GAS,))
        flow = Flow(
            pipeline,
            outbox,
            desk,
            devices,
            SystemClock(),
            events.say,
            Timekeeper(earliest_ns=0),
            queue_samples=2,
        )
        for n in range(2):
            await flow.put(Sample(GAS, n + 1, (1.0,)))
        third = asyncio.create_task(flow.put(Sample(GAS, 3, (1.0,))))
        await asyncio.sleep(0.05)
        assert not third.done()
        running = asyncio.create_task(flow.run())
        await third
        await flow.drained()
        running.cancel()
        assert (flow.processed, flow.readings) == (3, 3)
        with pytest.raises(ValueError, match="no device 'x'"):
            await flow.put(Sample(DeviceSpec("x", "gas", ()), 1, ()))
        with pytest.raises(ValueError, match="2 values, 1 announced"):
            await flow.put(Sample(GAS, 1, (1.0, 2.0)))
    finally:
        await outbox.aclose()


async def test_a_transition_that_was_not_handed_over_is_handed_over_after_the_restart(
    tmp_path: Path,
) -> None:
    """As after a kill between the state file and the outbox."""
    outbox = await open_outbox(tmp_path)
    try:
        pipeline, _ = desk_on(tmp_path, outbox)
        (draft,) = pipeline.process(Sample(GAS, 1, (12.0,)), 0).alarms
        await AlarmFile(tmp_path / "alarms.json").save(pipeline.board, [draft], 1)
        again, desk = desk_on(tmp_path, outbox)
        await desk.restore()
        assert [a.alarm for a in await kept_alarms(outbox)] == [draft.alarm]
        assert again.process(Sample(GAS, 2, (13.0,)), 0).alarms == []
        _, third = desk_on(tmp_path, outbox)
        await third.restore()
        assert len(await kept_alarms(outbox)) == 1
    finally:
        await outbox.aclose()


async def test_alarms_that_come_together_are_one_commit_and_are_restored_from_where_they_are_newest(
    tmp_path: Path,
) -> None:
    outbox, file = await open_outbox(tmp_path), tmp_path / "alarms.json"
    try:
        pipeline, desk = desk_on(tmp_path, outbox)
        drafts = [
            draft
            for t, value in enumerate((12.0, 1.0), 1)
            for draft in pipeline.process(Sample(GAS, t, (value,)), 0).alarms
        ]
        commits = outbox.stats().commits
        await desk.publish(drafts)
        assert (len(drafts), outbox.stats().commits - commits) == (2, 1)
        (state,) = pipeline.board.active()

        _, again = desk_on(tmp_path, outbox)  # as after a kill before the file was written
        await again.restore()
        assert again.board.active() == [state]

        file.write_bytes(b'{"states": []}')  # an earlier version ran in between, which ended it
        _, third = desk_on(tmp_path, outbox)
        await third.restore()
        assert third.board.active() == []
        file.unlink()
        _, fourth = desk_on(tmp_path, outbox)
        await fourth.restore()
        assert fourth.board.active() == []
    finally:
        await outbox.aclose()


async def test_an_unreadable_state_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "alarms.json").write_bytes(b'{"states": [{"dev')
    outbox = await open_outbox(tmp_path)
    try:
        _, desk = desk_on(tmp_path, outbox)
        await desk.restore()
        assert desk.views() == []
        assert (tmp_path / "alarms.unreadable").exists()
    finally:
        await outbox.aclose()


def state(level: int, *, acknowledged: bool = False) -> AlarmState:
    """An open alarm."""
    return AlarmState("gas-01", "r", "A1", level=level, zone=level, acknowledged=acknowledged)


def test_an_output_follows_the_alarms_it_is_for(tmp_path: Path) -> None:
    siren = FileOutput(OutputConfig(name="siren", path=tmp_path / "run" / "siren", min_level=2))
    fan = FileOutput(
        OutputConfig(name="fan", path=tmp_path / "fan", until="ended", on="1", off="0")
    )

    def after(*states: AlarmState) -> tuple[str, str]:
        for output in (siren, fan):
            output.follow(states)
        return (tmp_path / "run" / "siren").read_text("utf-8"), (tmp_path / "fan").read_text(
            "utf-8"
        )

    assert after() == ("off\n", "0")
    assert after(state(1)) == ("off\n", "1")
    assert after(state(2)) == ("on\n", "1")
    assert after(state(2, acknowledged=True)) == ("off\n", "1")
    assert after() == ("off\n", "0")


def test_an_output_that_cannot_be_set_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gone").write_text("a file, not a folder", "utf-8")
    output = FileOutput(OutputConfig(name="siren", path=tmp_path / "gone" / "siren"))
    for _ in range(3):
        output.follow([state(1)])
    assert (output.failures, output.is_on) == (3, False)
    assert len(caplog.records) == 1
    (tmp_path / "gone").unlink()
    output.follow([state(1)])
    assert output.is_on


def test_a_pipe_that_nobody_reads_is_a_failure_and_no_wait(tmp_path: Path) -> None:
    pipe = tmp_path / "siren"
    os.mkfifo(pipe)
    output = FileOutput(OutputConfig(name="siren", path=pipe))
    output.follow([state(1)])
    assert (output.failures, output.is_on) == (1, False)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        output.follow([state(1)])
        assert output.is_on
        assert os.read(reader, 10) == b"on\n"
    finally:
        os.close(reader)


async def test_each_change_of_the_buttons_file_is_one_press(tmp_path: Path) -> None:
    path, presses = tmp_path / "button", list[str]()
    path.write_text("0", "utf-8")
    button = FileButton(InputConfig(name="door", path=path, poll_ms=10))

    async def pressed(name: str) -> None:
        presses.append(name)

    watching = asyncio.create_task(button.run(SystemClock(), pressed))
    await asyncio.sleep(0.05)
    assert presses == []
    for n in (1, 2):
        path.write_text(str(n), "utf-8")
        await wait_until(lambda n=n: len(presses) == n)
    path.unlink()
    await asyncio.sleep(0.05)
    watching.cancel()
    assert presses == ["door", "door"]


def test_systemd_hears_states_on_its_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(5)
        notifier = Notifier(path, "30000000")
        assert notifier.watchdog_s == 30
        notifier.send("READY=1", "STATUS=fine")
        assert systemd.recv(100) == b"READY=1\nSTATUS=fine"
    Path(path).unlink()
    notifier.send("WATCHDOG=1")
    Notifier("", "").send("READY=1")
    assert Notifier("", "x").watchdog_s is None


def test_a_draft_holds_all_that_an_alarm_needs() -> None:
    missing = set(Alarm.__struct_fields__) - set(AlarmDraft.__struct_fields__)
    assert missing == {"v", "site", "gateway", "stream", "seq", "clock"}


def test_the_watchdog_starves_when_samples_or_rows_stand_still() -> None:
    class Stopped(SystemClock):
        at_ns = 0

        def mono_ns(self) -> int:
            return self.at_ns

    marks = [
        Mark(0, 0, 0, 0),
        Mark(5, 0, 0, 0),  # samples wait and none is judged
        Mark(5, 9, 3, 1),
        Mark(0, 9, 3, 1),  # rows wait for the disk, for less than the commit interval
        Mark(0, 9, 3, 1),  # and for longer
        Mark(0, 9, 3, 2),  # the disk answers, if only that it is full
        Mark(0, 9, 0, 2),
    ]
    clock = Stopped()
    watchdog = Watchdog(Notifier(""), clock, lambda: marks.pop(0), commit_interval_s=2.0)
    found = []
    while marks:
        found.append(watchdog.moves())
        clock.at_ns += 1_500_000_000
    assert found == [True, False, True, True, False, True, True]
