"""The driver against the virtual receiver's real ports, and against lines that break."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import sys
import tty
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.drivers.nmea.config import NmeaConfig
from edge.drivers.nmea.driver import NmeaDriver
from firmware_bridges.nmea.encode import frame
from tocsin.contract.quality import Quality
from tocsin.contract.units import conversion
from tocsin.errors import DriverError, DriverReason, LinkError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import Process, run_process, wait_until
from tocsin.testing.contexts import keeping

KNOTS = conversion("[kn_i]", "m/s")


class Agent:
    """What the agent would see of one driver."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.states: list[str] = []
        self.context = DriverContext(
            name="gps",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=keeping(self._emit),
            available=lambda device: self._state("ok"),
            unavailable=lambda device, error: self._state(error.reason.value),
            count=lambda name, n: self.counts.update({name: n}),
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    def _state(self, state: str) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)

    def driver(self, **config: object) -> NmeaDriver:
        return NmeaDriver(
            NmeaConfig(type="nmea", name="gps", device="truck-1", **config),  # type: ignore[arg-type]
            self.context,
        )


def _values(sample: Sample) -> dict[str, Any]:
    named = {c.quantity: v for c, v in zip(sample.spec.channels, sample.values, strict=True)}
    del named["accuracy"]
    if isinstance(named["speed"], float):
        named["speed"] = KNOTS(named["speed"])
    return named


def _ledger(path: Path) -> dict[int, dict[str, Any]]:
    entries = (json.loads(line) for line in path.read_text().splitlines())
    return {e["t_ns"]: e["values"] for e in entries if "values" in e}


@contextmanager
def _device(*arguments: str) -> Iterator[tuple[Process, str]]:
    argv = [sys.executable, "-m", "firmware_bridges.nmea.device", "--hz", "10", *arguments]
    with run_process(argv) as process:
        yield process, json.loads(process.wait_line('"ready"'))["port"]


@contextmanager
def _line() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    try:
        yield master, name
    finally:
        os.close(slave)
        with suppress(OSError):
            os.close(master)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", ["tcp", "pty"])
async def test_every_sample_is_what_the_receivers_ledger_says(kind: str, tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    where = ("--tcp", "127.0.0.1:0") if kind == "tcp" else ("--pty",)
    with _device(*where, "--ledger", str(ledger)) as (_, port):
        source = {"connect": port} if kind == "tcp" else {"port": port}
        driver = agent.driver(**source, quiet_gap_s=0.03)
        task = asyncio.create_task(driver.run())
        await wait_until(lambda: len(agent.samples) >= 5)
        await _stop(task)
        truth = _ledger(ledger)
    assert agent.states == ["ok"]
    assert driver.devices[0].measurement == "vehicle"
    for sample in agent.samples:
        assert sample.source_ns is not None
        assert _values(sample) == truth[sample.source_ns]
    stamps = [s.source_ns for s in agent.samples]
    assert stamps == sorted(truth)[: len(stamps)]


async def test_a_lost_fix_is_reported_without_a_position(tmp_path: Path) -> None:
    agent = Agent()
    with _device("--tcp", "127.0.0.1:0", "--fault", "no-fix") as (_, port):
        task = asyncio.create_task(agent.driver(connect=port, quiet_gap_s=0.03).run())
        await wait_until(lambda: agent.samples)
        await _stop(task)
    first = agent.samples[0]
    assert _values(first) == {
        **dict.fromkeys(("lat", "lon", "alt", "speed", "course", "hdop")),
        "fix": 0,
        "satellites": 0,
    }
    assert first.quality is not None
    assert first.quality[:2] == (Quality.NO_FIX, Quality.NO_FIX)


@pytest.mark.parametrize("fault", ["bad-checksum", "half", "garbage"])
async def test_spoilt_lines_are_counted_and_the_device_called_unavailable(fault: str) -> None:
    agent = Agent()
    with _device("--tcp", "127.0.0.1:0", "--fault", fault, "--fault-until", "1.5") as (_, port):
        driver = agent.driver(connect=port, quiet_gap_s=0.03, silence_s=0.8)
        task = asyncio.create_task(driver.run())
        await wait_until(lambda: len(agent.states) >= 2)
        await _stop(task)
    assert agent.states == ["garbage", "ok"]
    assert sum(agent.counts.values()) > 0
    assert all(s.values[0] is not None for s in agent.samples)


async def test_a_position_in_hand_is_handed_over_when_the_driver_stops() -> None:
    agent = Agent()
    with _line() as (master, port):
        task = asyncio.create_task(agent.driver(port=port, quiet_gap_s=10).run())
        await asyncio.sleep(0.1)
        os.write(master, frame("GPGLL,4807.038,N,01131.000,E,120000,A,A").encode())
        await asyncio.sleep(0.1)
        assert agent.samples == []
        await _stop(task)
    assert len(agent.samples) == 1


async def test_a_silent_receiver_is_unavailable() -> None:
    agent = Agent()
    with _line() as (_, port):
        task = asyncio.create_task(agent.driver(port=port, silence_s=0.2).run())
        await wait_until(lambda: agent.states)
        await _stop(task)
    assert agent.states == ["no-answer"]


async def test_a_unplugged_port_is_a_lost_link() -> None:
    agent = Agent()
    with _line() as (master, port):
        task = asyncio.create_task(agent.driver(port=port, quiet_gap_s=0.02).run())
        line = frame("GPGLL,4807.038,N,01131.000,E,120000,A,A").encode()
        await asyncio.sleep(0.1)
        os.write(master, line)
        await wait_until(lambda: agent.samples)
        os.close(master)
        with pytest.raises(LinkError) as lost:
            await asyncio.wait_for(task, 10)
    assert lost.value.reason is DriverReason.CLOSED


async def test_a_killed_device_server_is_a_lost_link() -> None:
    agent = Agent()
    with _device("--tcp", "127.0.0.1:0") as (process, port):
        task = asyncio.create_task(agent.driver(connect=port).run())
        await wait_until(lambda: agent.samples)
        process.kill9()
        with pytest.raises(LinkError):
            await asyncio.wait_for(task, 10)


async def test_a_port_that_is_not_there_says_what_to_look_at(tmp_path: Path) -> None:
    agent = Agent()
    with pytest.raises(LinkError) as error:
        await agent.driver(port=str(tmp_path / "ttyUSB0")).run()
    assert error.value.reason is DriverReason.NO_PORT
    assert "by-id" in error.value.hint


async def test_a_port_in_use_says_so() -> None:
    agent, other = Agent(), Agent()
    with _line() as (_, port):
        task = asyncio.create_task(agent.driver(port=port).run())
        await asyncio.sleep(0.1)
        with pytest.raises(DriverError) as error:
            await other.driver(port=port).run()
        await _stop(task)
    assert error.value.reason is DriverReason.REFUSED


async def test_a_recorded_file_is_read_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "drive.log"
    lines = [frame(f"GPGLL,4807.038,N,01131.000,E,1200{s:02d},A,A") for s in range(30)]
    log.write_text("# a drive\n" + "".join(lines).rstrip())
    agent = Agent()
    driver = agent.driver(file=str(log))
    await driver.run()
    assert len(agent.samples) == 30
    assert driver.devices[0].window.max_past_s is None
    assert agent.counts == {"nmea.comments": 1}


async def test_probe_tells_a_living_receiver_from_a_dead_one() -> None:
    agent = Agent()
    with _device("--tcp", "127.0.0.1:0") as (_, port):
        (line,) = await agent.driver(connect=port).probe()
        assert line.ok
        assert "11 satellites" in line.text
    (line,) = await agent.driver(connect=port).probe()
    assert not line.ok
    with _line() as (_, name):
        (line,) = await agent.driver(port=name, period_s=0.1).probe()
    assert (line.ok, "nothing received" in line.text) == (False, True)
    assert agent.samples == []


def test_exactly_one_source_must_be_given() -> None:
    for source in ({}, {"port": "/dev/ttyUSB0", "connect": "localhost:10110"}):
        with pytest.raises(ValidationError, match="exactly one"):
            NmeaConfig(type="nmea", name="gps", device="x", **source)  # type: ignore[arg-type]


def test_the_driver_is_found_under_its_name() -> None:
    assert load_driver("nmea") is NmeaDriver
