"""The driver through real ports: known answers byte for byte, a line with a dead meter, and another project's meter and reader."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dlt645.service.clientsvc.async_client_service import AsyncMeterClientService
from dlt645.service.serversvc.async_server_service import AsyncMeterServerService
from pydantic import ValidationError

from edge.drivers.dlt645.config import Dlt645Config
from edge.drivers.dlt645.driver import Dlt645Driver
from firmware_bridges.dlt645.frames import Frame
from firmware_bridges.dlt645.splitter import Splitter
from tocsin.contract.quality import Quality
from tocsin.errors import LinkError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import Process, free_port, run_process, wait_until


class Agent:
    """What the agent would see of one driver."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.states: dict[str, list[str]] = {}
        self.frames: list[tuple[str, str, bytes]] = []
        self.context = DriverContext(
            name="meters",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=self._keep,
            available=lambda device: self._state(device, "ok"),
            unavailable=lambda device, error: self._state(device, error.reason.value),
            count=lambda name, n: self.counts.update({name: n}),
            frame=lambda device, way, data: self.frames.append((device, way, data)),
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    async def _keep(self, samples: Any) -> None:
        self.samples.extend(samples)

    def _state(self, device: str, state: str) -> None:
        told = self.states.setdefault(device, [])
        if told[-1:] != [state]:
            told.append(state)

    def driver(self, *devices: dict[str, Any], **config: Any) -> Dlt645Driver:
        given: dict[str, Any] = {"timeout_s": 0.5, "pause_s": 0.0, "devices": devices} | config
        return Dlt645Driver(Dlt645Config(type="dlt645", name="meters", **given), self.context)

    def of(self, device: str) -> list[dict[str, Any]]:
        return [_values(s) for s in self.samples if s.spec.id == device]


def _values(sample: Sample) -> dict[str, Any]:
    pairs = zip(sample.spec.channels, sample.values, strict=True)
    return {c.quantity: v for c, v in pairs if v is not None}


@asynccontextmanager
async def _running(driver: Dlt645Driver) -> AsyncIterator[None]:
    task = asyncio.create_task(driver.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@contextmanager
def _device(*arguments: str) -> Iterator[tuple[Process, str]]:
    argv = [sys.executable, "-m", "firmware_bridges.dlt645.device", *arguments]
    with run_process(argv) as process:
        yield process, json.loads(process.wait_line('"ready"'))["port"]


async def test_known_answers_verbatim_become_values(shared_data: Path) -> None:
    """A meter made of the example file: it answers a request for an address and identifier with the very bytes there."""
    vectors = json.loads((shared_data / "protocols" / "dlt645.json").read_text("utf-8"))["vectors"]
    answers = [v for v in vectors if v["frame_ok"] and v["expected"]["from_slave"]]
    assert len(answers) >= 3
    requests: list[str] = []
    done = asyncio.Event()
    by_address = {v["expected"]["address"]: bytes.fromhex(v["hex"]) for v in answers}

    async def meter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = Splitter()
        while data := await reader.read(4096):
            requests.append(data.hex())
            for item in splitter.feed(data):
                if isinstance(item, Frame) and item.address in by_address:
                    writer.write(b"\x00\xfe" + by_address[item.address])
        writer.close()
        await writer.wait_closed()
        done.set()

    server = await asyncio.start_server(meter, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    agent = Agent()
    devices = [
        {"id": f"m{i}", "address": v["expected"]["address"], "profile": "none", "read": {"energy": v["expected"]["di"]}}
        for i, v in enumerate(answers)
    ]  # fmt: skip
    async with server:
        async with _running(agent.driver(*devices, connect=where)):
            await wait_until(lambda: len(agent.samples) >= len(answers))
        await asyncio.wait_for(done.wait(), 10)
    for i, vector in enumerate(answers):
        assert agent.of(f"m{i}") == [{"energy": vector["expected"]["value"]}]
        assert (f"m{i}", "rx", bytes.fromhex(vector["hex"]).lstrip(b"\xfe")) in agent.frames
    asked = [
        v
        for v in vectors
        if not v["expected"]["from_slave"] and v["expected"]["control"] == "11" and v["frame_ok"]
    ]
    body = next(v["hex"] for v in asked if v["expected"]["di"] == "00010000")[24:-4]
    assert all(body in request for request in requests)


async def test_a_dead_meter_on_the_line_does_not_starve_the_others(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.ndjson"
    agent = Agent()
    with _device(
        "--meter", "1:m1", "--meter", "2:m2", "--link", str(tmp_path / "line"), "--ledger", str(ledger),
        "--delay", "0.005",
    ) as (_, port):  # fmt: skip
        devices = [{"id": f"m{n}", "address": f"{n}", "period_s": 0.4} for n in (1, 2, 3)]
        async with _running(agent.driver(*devices, port=port, backoff_max_s=2.0)):
            await wait_until(lambda: len(agent.of("m1")) >= 6 and len(agent.of("m2")) >= 6, 30)
    assert agent.states["m3"] == ["no-answer"]
    assert agent.of("m3") == []
    told: dict[str, set[float]] = {}
    for line in ledger.read_text("utf-8").splitlines():
        for di, value in json.loads(line).get("values", {}).items():
            told.setdefault(di, set()).add(value)
    names = {
        "energy": "00010000",
        "voltage": "02010100",
        "power": "02030000",
        "frequency": "02800002",
    }
    for values in agent.of("m1") + agent.of("m2"):
        for quantity, di in names.items():
            if quantity in values:
                assert values[quantity] in told[di]
    assert any(v.get("power", 0) < 0 for v in agent.of("m2"))
    tries = [d for device, way, d in agent.frames if (device, way) == ("m3", "tx")]
    assert (
        1
        <= len(tries)
        < len([d for device, way, d in agent.frames if (device, way) == ("m1", "tx")]) / 5
    )


async def test_a_changed_meter_begins_anew_and_its_neighbour_keeps_its_period_and_line(
    tmp_path: Path,
) -> None:
    agent = Agent()
    one = {"id": "m1", "address": "1", "period_s": 60.0}
    with _device("--meter", "1:m1", "--meter", "2:m2", "--tcp", "127.0.0.1:0") as (_, port):
        two = {"id": "m2", "address": "2", "period_s": 60.0}
        driver = agent.driver(one, two, connect=port)
        async with _running(driver):
            await wait_until(lambda: len(agent.samples) == 2)
            two |= {"ct_ratio": 30.0}
            assert driver.reconfigure(agent.driver(one, two, connect=port)._config)
            await wait_until(lambda: len(agent.of("m2")) == 2)
            assert {c.scale for c in agent.samples[-1].spec.channels if c.unit == "A"} == {30.0}
            assert driver.reconfigure(agent.driver(one, connect=port)._config)
            assert [spec.id for spec in driver.devices] == ["m1"]
            assert driver.reconfigure(agent.driver(two, one, connect=port)._config)
            await wait_until(lambda: len(agent.of("m2")) == 3)
            assert len(agent.of("m1")) == 1, "it kept its period"
            assert not driver.reconfigure(agent.driver(one, connect=port, timeout_s=9.0)._config)
            assert len(driver.devices) == 2
    assert agent.states == {"m1": ["ok"], "m2": ["ok"]}


async def test_an_echoing_adapter_a_missing_identifier_and_data_in_parts_are_borne() -> None:
    agent = Agent()
    with _device(
        "--meter", "7:m7", "--tcp", "127.0.0.1:0", "--echo", "--part-bytes", "2", "--spoil", "31"
    ) as (
        _,
        port,
    ):
        device = {
            "id": "m7",
            "address": "aaaaaaaaaaaa",
            "period_s": 0.3,
            "read": {"temperature": "02800007", "current_neutral": "02800001"},
            "ct_ratio": 2.0,
        }
        async with _running(agent.driver(device, connect=port)):
            await wait_until(lambda: len(agent.samples) >= 3)
    first = agent.samples[0]
    values = _values(first)
    assert agent.counts["dlt645.broken"] >= 1
    assert agent.states["m7"] == ["ok"]
    assert values["temperature"] == -5.5
    assert values["frequency"] == pytest.approx(50, abs=0.1)
    assert "current_neutral" not in values
    assert first.quality is not None
    missing = [c.quantity for c, q in zip(first.spec.channels, first.quality, strict=True) if q]
    assert missing == ["current_neutral"]
    scales = {c.quantity: (c.scale, c.unit) for c in first.spec.channels}
    assert scales["current"] == (2.0, "A")
    assert scales["energy"] == (2.0, "kW.h")
    assert scales["power_factor"] == (1.0, "1")
    asked = [
        d for _, way, d in agent.frames if way == "tx" and bytes((0x34, 0x33, 0xB3, 0x35)) in d
    ]
    assert len(asked) == 1


async def test_a_meter_that_is_switched_off_is_a_gap_and_comes_back() -> None:
    agent, port = Agent(), free_port()
    where = f"127.0.0.1:{port}"
    driver = agent.driver({"id": "m1", "address": "1", "period_s": 0.2}, connect=where)
    with _device("--meter", "1:m1", "--tcp", where):
        task = asyncio.create_task(driver.run())
        await wait_until(lambda: len(agent.samples) >= 2)
    with pytest.raises(LinkError):
        await asyncio.wait_for(task, 10)
    assert agent.states["m1"] == ["ok", "closed"]
    gap = agent.samples[-1]
    assert gap.quality == (int(Quality.COMMS),) * len(gap.spec.channels)
    with _device("--meter", "1:m1", "--tcp", where):
        seen = len(agent.samples)
        async with _running(driver):
            await wait_until(lambda: len(agent.samples) > seen + 1)
    assert agent.states["m1"] == ["ok", "closed", "ok"]


async def test_it_reads_another_projects_meter() -> None:
    port, agent = free_port(), Agent()
    server = AsyncMeterServerService.new_tcp_server("127.0.0.1", port, 5.0)
    server.set_address("420000000000")  # it takes the order of the line
    figures = {
        0x00010000: 8443.75,
        0x02010100: 221.3,
        0x02020100: -1.234,
        0x02030000: -0.2731,
        0x02800002: 49.98,
    }
    for di, value in figures.items():
        assert (server.set_00 if di >> 24 == 0 else server.set_02)(di, value)
    async with server:
        device = {"id": "other", "address": "42", "period_s": 5}
        async with _running(agent.driver(device, connect=f"127.0.0.1:{port}", timeout_s=2.0)):
            await wait_until(lambda: len(agent.samples) >= 1)
    values = _values(agent.samples[0])
    told = [values[q] for q in ("energy", "voltage", "current", "power", "frequency")]
    assert told == pytest.approx(list(figures.values()))


async def test_another_projects_reader_reads_the_virtual_meter(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.ndjson"
    with _device("--meter", "43:m43", "--tcp", "127.0.0.1:0", "--ledger", str(ledger)) as (_, port):
        client = AsyncMeterClientService.new_tcp_client(
            "127.0.0.1", int(port.rpartition(":")[2]), 5.0
        )
        assert client.set_address("430000000000")  # the order of the line
        assert await client.connect()
        try:
            read = {
                "00010000": await client.read_00(0x00010000),
                "02010100": await client.read_02(0x02010100),
                "02030000": await client.read_02(0x02030000),
            }
        finally:
            await client.disconnect()
    told: dict[str, float] = {}
    for line in ledger.read_text("utf-8").splitlines():
        told |= json.loads(line)["values"]
    assert {di: item.value for di, item in read.items() if item} == pytest.approx(told)
    assert len(told) == 3


async def test_the_probe_tells_values_and_why_there_are_none() -> None:
    agent = Agent()
    with _device("--meter", "1:m1", "--tcp", "127.0.0.1:0") as (_, port):
        devices = [{"id": "m1", "address": "1"}, {"id": "m2", "address": "2"}]
        good, dead = await agent.driver(*devices, connect=port).probe()
    assert good.ok
    assert "voltage 22" in good.text
    assert not dead.ok
    assert "A and B swapped" in dead.text
    (gone,) = await agent.driver({"id": "m1", "address": "1"}, port="/dev/nowhere").probe()
    assert not gone.ok


@pytest.mark.parametrize(
    "change",
    [
        {"connect": "127.0.0.1:1"},
        {"devices": []},
        {"devices": [{"id": "a", "address": "1"}, {"id": "b", "address": "01"}]},
        {"devices": [{"id": "a", "address": "a" * 12}, {"id": "b", "address": "1"}]},
        {"devices": [{"id": "a", "address": "1", "profile": "none"}]},
        {"devices": [{"id": "a", "address": "1", "read": {"energy": "9010"}}]},
        {"devices": [{"id": "a", "address": "1", "read": {"x": "zz"}}]},
        {"devices": [{"id": "a", "address": "1", "read": {"x": "0001ff00"}}]},
        {"devices": [{"id": "a", "address": "1", "read": {"time": "02800007"}}]},
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, object]) -> None:
    given = {
        "type": "dlt645",
        "name": "m",
        "port": "/dev/x",
        "devices": [{"id": "a", "address": "1"}],
    }
    Dlt645Config.model_validate(given)
    with pytest.raises(ValidationError):
        Dlt645Config.model_validate(given | change)


def test_it_comes_through_the_same_door_as_any_driver() -> None:
    assert load_driver("dlt645") is Dlt645Driver
