"""The driver against a real gpsd that reads recordings of real receivers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.drivers.gpsd.config import GpsdConfig
from edge.drivers.gpsd.driver import GpsdDriver
from edge.pipeline.pipeline import Pipeline
from tests.traces import compare
from tests.traces.compare import Got
from tocsin.contract.quality import Quality
from tocsin.errors import LinkError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import free_port, run_process, wait_until
from tocsin.testing.contexts import keeping

LOGS = ("neo-m8n", "garmin15x", "furuno_gl_ga", "bu353-glonass")
ALIKE = (
    "neo-m8n",
    "garmin15x",
)  # here gpsd 3.22 and the newer one of the known reports say the same
_LINE_S = (
    0.002  # gpsd tells the end of a cycle by its sentences; it must not swallow several in one read
)


class Agent:
    """What the agent would see of one driver."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.states: list[str] = []
        self.frames: list[tuple[str, bytes]] = []
        self.errors: list[str] = []
        self.context = DriverContext(
            name="gps",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=keeping(self._emit),
            available=lambda device: self._state("ok"),
            unavailable=lambda device, error: self._lost(error.reason.value, error.message),
            count=lambda name, n: self.counts.update({name: n}),
            frame=lambda device, way, data: self.frames.append((way, data)),
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    def _lost(self, state: str, text: str) -> None:
        self.errors.append(text)
        self._state(state)

    def _state(self, state: str) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)

    def driver(self, **config: Any) -> GpsdDriver:
        return GpsdDriver(
            GpsdConfig(type="gpsd", name="gps", device="boat-1", **config), self.context
        )

    @property
    def clock(self) -> str:
        """Time of day of the newest position."""
        stamps = [s.source_ns for s in self.samples if s.source_ns is not None][-1:]
        return datetime.fromtimestamp((stamps or [0])[0] / 1e9, UTC).isoformat(
            timespec="milliseconds"
        )[11:23]

    @property
    def watching(self) -> bool:
        return any(b'"WATCH"' in data for _, data in self.frames)


class Receiver:
    """A recording behind a TCP port that gpsd reads."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def connected(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)

    async def play(self, log: Path) -> None:
        for line in await asyncio.to_thread(_lines, log):
            self.writers[0].write(line)
            await self.writers[0].drain()
            await asyncio.sleep(_LINE_S)


def _lines(log: Path) -> list[bytes]:
    lines = log.read_bytes().splitlines(keepends=True)
    return [line for line in lines if not line.startswith(b"#")]


@asynccontextmanager
async def _gpsd(receivers: int = 1) -> AsyncIterator[tuple[str, list[Receiver]]]:
    """A real gpsd on a free port with so many receivers."""
    program = shutil.which("gpsd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert program is not None, "apt-get install gpsd"
    port, made, servers = free_port(), [Receiver() for _ in range(receivers)], []
    for one in made:
        server = await asyncio.start_server(one.connected, "127.0.0.1", 0)
        one.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    sources = [f"tcp://127.0.0.1:{one.port}" for one in made]
    control = (
        Path(tempfile.mkdtemp()) / "control"
    )  # without receivers gpsd wants a place to be told of some
    with run_process([program, "-N", "-n", "-b", "-S", str(port), "-F", str(control), *sources]):
        await wait_until(lambda: all(one.writers for one in made))
        await wait_until(lambda: _listens(port))
        yield f"127.0.0.1:{port}", made
    for one in made:
        for writer in one.writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    for server in servers:
        server.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynccontextmanager
async def _running(driver: GpsdDriver) -> AsyncIterator[None]:
    task = asyncio.create_task(driver.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _got(sample: Sample) -> Got:
    names = [c.quantity for c in sample.spec.channels]
    quality = sample.quality or (0,) * len(names)
    return Got(
        sample.ts_ns,
        sample.source_ns,
        dict(zip(names, sample.values, strict=True)),
        dict(zip(names, quality, strict=True)),
    )


@pytest.mark.parametrize("log", LOGS)
async def test_positions_are_those_that_gpsd_reports(log: str, shared_data: Path) -> None:
    file = json.loads((shared_data / "protocols" / "nmea0183_gpsd_tpv.json").read_text("utf-8"))
    (known,) = [v["gpsd_tpv"] for v in file["vectors"] if v["log"] == log]
    agent = Agent()
    async with _gpsd() as (where, (receiver,)), _running(agent.driver(connect=where)):
        await wait_until(lambda: agent.watching)
        await receiver.play(shared_data / "traces" / "nmea_gpsd" / f"{log}.log")
        await wait_until(lambda: agent.clock == known[-1]["time"][11:23])
    reports = [json.loads(data) for way, data in agent.frames if way == "rx" and b'"TPV"' in data]
    told = [r for i, r in enumerate(reports) if i == 0 or r != reports[i - 1]]
    got = [_got(s) for s in agent.samples]
    assert len(got) == len(told) >= 7
    for report, row in zip(told, got, strict=True):
        _same(report, row)
    assert agent.states[0] == "ok"
    if log in ALIKE:
        assert compare.gpsd(known, got) == []


def _same(report: dict[str, Any], row: Got) -> None:
    fixed = report["mode"] > 1 and "lat" in report
    assert row.values["fix"] == (report["mode"] if fixed else 0)
    names = {"lat": "lat", "lon": "lon", "alt": "altMSL", "speed": "speed", "course": "track"}
    for ours, theirs in names.items():
        assert row.values[ours] == (report.get(theirs) if fixed else None)
        assert row.quality[ours] == (0 if fixed else Quality.NO_FIX)
    stamp = datetime.fromisoformat(report["time"]).timestamp() if "time" in report else None
    assert (None if row.source_ns is None else row.source_ns / 1e9) == stamp


async def test_a_date_that_cannot_be_is_flagged_and_the_position_kept(shared_data: Path) -> None:
    agent = Agent()
    driver = agent.driver()
    async with _gpsd() as (where, (receiver,)), _running(agent.driver(connect=where)):
        await wait_until(lambda: agent.watching)
        await receiver.play(shared_data / "traces" / "nmea_gpsd" / "neo-m8n.log")
        await wait_until(lambda: len(agent.samples) >= 10)
    pipeline = Pipeline(driver.devices)
    rows = [row for one in agent.samples for row in pipeline.process(one, 0).rows]
    in_2034 = [row for row in rows if row.source_ns and row.source_ns > 2_040_000_000 * 10**9]
    assert len(in_2034) >= 9
    for row in in_2034:
        assert row.time_ns < (row.source_ns or 0)
        assert row.quality is not None
        assert row.quality[0] == Quality.SOURCE_TIME
        assert row.values[0] == pytest.approx(44.069, abs=1e-3)


async def test_a_silent_receiver_and_a_gpsd_without_one_are_told_apart() -> None:
    agent = Agent()
    async with _gpsd() as (where, _), _running(agent.driver(connect=where, silence_s=0.3)):
        await wait_until(lambda: bool(agent.errors))
    assert "tells gpsd no position" in agent.errors[0]
    agent = Agent()
    async with _gpsd(0) as (where, _), _running(agent.driver(connect=where, silence_s=0.3)):
        await wait_until(lambda: bool(agent.errors))
    assert "gpsd has no receiver" in agent.errors[0]


async def test_of_two_receivers_one_is_read(shared_data: Path) -> None:
    log = shared_data / "traces" / "nmea_gpsd" / "garmin15x.log"
    agent = Agent()
    async with _gpsd(2) as (where, receivers):
        wanted = f"tcp://127.0.0.1:{receivers[1].port}"
        async with _running(agent.driver(connect=where, receiver=wanted)):
            await wait_until(lambda: agent.watching)
            await receivers[0].play(log)
            await wait_until(lambda: agent.counts["gpsd.other_receiver"] > 3)
            assert agent.samples == []
            await receivers[1].play(log)
            await wait_until(lambda: len(agent.samples) > 3)


async def test_a_gpsd_that_goes_is_a_lost_link_and_one_that_is_not_there_has_a_hint() -> None:
    agent = Agent()
    async with _gpsd() as (where, _):
        task = asyncio.create_task(agent.driver(connect=where).run())
        await wait_until(lambda: agent.watching)
    with pytest.raises(LinkError):
        await asyncio.wait_for(task, 10)
    with pytest.raises(LinkError) as caught:
        await agent.driver(connect=where).run()
    assert "gpsd.socket" in caught.value.hint
    (line,) = await agent.driver(connect=where).probe()
    assert not line.ok


@pytest.mark.parametrize("fixed", [True, False])
async def test_the_virtual_gpsd_tells_what_its_ledger_says(fixed: bool, tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger.ndjson"
    argv = [
        sys.executable,
        "-m",
        "firmware_bridges.gpsd.device",
        "--hz",
        "10",
        "--ledger",
        str(ledger),
    ]
    with run_process([*argv, *([] if fixed else ["--no-fix"])]) as device:
        where = json.loads(device.wait_line('"ready"'))["port"]
        async with _running(agent.driver(connect=where)):
            await wait_until(lambda: len(agent.samples) >= 4)
    told = {e["t_ns"]: e["values"] for e in map(json.loads, ledger.read_text("utf-8").splitlines())}
    for row in map(_got, agent.samples):
        values = told[row.source_ns or 0]
        assert (values["lat"] is not None) is fixed
        assert {name: row.values[name] for name in values} == values


async def test_lines_that_are_no_reports_cost_only_themselves() -> None:
    agent, ended = Agent(), list[asyncio.StreamWriter]()

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"class":"TPV"\n[1]\n{"class":5}\n\xff\xfe\n' + b"x" * 70_000 + b"\n")
        writer.write(
            b'{"class":"ERROR","message":"odd"}\n{"class":"TPV","mode":2,"lat":1,"lon":2}\n'
        )
        await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        ended.append(writer)

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        async with _running(agent.driver(connect=where)):
            await wait_until(lambda: bool(agent.samples))
        (line,) = await agent.driver(connect=where).probe()
        await wait_until(lambda: len(ended) == 2)
    assert line.text == "1.000000, 2.000000"
    assert agent.counts["gpsd.framing"] == 4
    assert agent.counts["gpsd.bad-field"] == 4
    assert agent.counts["gpsd.overlong"] == 2
    assert agent.counts["gpsd.errors"] == 2


@pytest.mark.parametrize("change", [{"connect": "gps"}, {"device": "A b"}, {"max_future_s": 301}])
def test_a_wrong_configuration_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GpsdConfig.model_validate({"type": "gpsd", "name": "g", "device": "b"} | change)


def test_it_comes_through_the_same_door_as_any_driver() -> None:
    assert load_driver("gpsd") is GpsdDriver
