"""Ports that are missing, in use, lost and found again; other makers' servers; the probe."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.drivers.modbus.driver import ModbusDriver
from tocsin.errors import DriverReason, LinkError
from tocsin.sdk import Sample
from tocsin.testing import free_port, run_process, wait_until

HEAD = "four-gas-head"
ONE = {"id": "d1", "unit_id": 1, "profile": HEAD, "period_s": 0.05}


async def test_a_port_that_vanishes_ends_the_run_and_a_new_run_finds_it_again(
    heard: Any, start_line: Any, config: Any, running: Any
) -> None:
    process, port = start_line((1, "gas-head", HEAD))
    settings = config(port, ONE)
    driver = ModbusDriver(settings, heard.context)
    async with running(settings, heard, driver) as task:
        await wait_until(lambda: len(heard.good("d1")) >= 2)
        process.kill9()
        with pytest.raises(LinkError) as caught:
            await asyncio.wait_for(task, 30)
        assert caught.value.reason is DriverReason.CLOSED
    with pytest.raises(LinkError) as caught:
        await driver.run()
    assert caught.value.reason is DriverReason.NO_PORT
    start_line((1, "gas-head", HEAD))
    seen = len(heard.good("d1"))
    async with running(settings, heard, driver):
        await wait_until(lambda: len(heard.good("d1")) >= seen + 2)
    assert heard.of("d1") == ["available", "closed", "no-port", "available"]


async def test_a_serial_port_has_one_owner(
    heard: Any, start_line: Any, config: Any, running: Any
) -> None:
    _, port = start_line((1, "gas-head", HEAD))
    settings = config(port, ONE)
    async with running(settings, heard):
        await wait_until(lambda: heard.good("d1"))
        with pytest.raises(LinkError, match="in use") as caught:
            await ModbusDriver(settings, heard.context).run()
        assert caught.value.reason is DriverReason.REFUSED


async def test_nobody_listening_is_told_as_refused(heard: Any, config: Any) -> None:
    driver = ModbusDriver(config(f"127.0.0.1:{free_port()}", ONE), heard.context)
    with pytest.raises(LinkError) as caught:
        await driver.run()
    assert caught.value.reason is DriverReason.REFUSED
    lines = await driver.probe()
    assert [(line.device, line.ok) for line in lines] == [("d1", False)]


async def test_cancelling_frees_the_port(
    heard: Any, start_line: Any, config: Any, running: Any
) -> None:
    _, port = start_line((1, "gas-head", HEAD))
    settings = config(port, ONE)
    for _ in range(2):
        seen = len(heard.good("d1"))
        async with running(settings, heard):
            await wait_until(lambda seen=seen: len(heard.good("d1")) > seen)


async def test_the_probe_reads_each_device_once_and_emits_nothing(
    heard: Any, start_line: Any, config: Any
) -> None:
    _, port = start_line((1, "gas-head", HEAD), (3, "rain-gauge", "rain-gauge"))
    devices = [
        ONE,
        {"id": "d2", "unit_id": 2, "profile": HEAD},
        {"id": "d3", "unit_id": 3, "profile": "rain-gauge"},
    ]
    lines = await ModbusDriver(config(port, *devices), heard.context).probe()
    assert [(line.device, line.ok) for line in lines] == [("d1", True), ("d2", False), ("d3", True)]
    assert "h2s" in lines[0].text
    assert "no answer" in lines[1].text
    assert "mm" in lines[2].text
    assert heard.samples == []


REGISTERS = [0, 0, 16712, 0, 16456, 62915, 16968, 0, 16807, 13107]


def _simulated() -> SimDevice:
    return SimDevice(1, SimData(0, values=REGISTERS, datatype=DataType.REGISTERS))


def _is_right(sample: Sample) -> bool:
    status, ex, h2s, co, o2 = sample.values
    assert (status, ex, co) == (0, 12.5, 50.0)
    assert h2s == pytest.approx(3.14, abs=1e-6)
    assert o2 == pytest.approx(20.9, abs=1e-6)
    return True


@pytest.mark.parametrize("framing", ["mbap", "rtu"])
async def test_pymodbus_own_tcp_server_is_read_alike(
    framing: str, heard: Any, config: Any, running: Any
) -> None:
    framer = FramerType.SOCKET if framing == "mbap" else FramerType.RTU
    server = ModbusTcpServer(_simulated(), framer=framer, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    listener: Any = server.transport
    port = listener.sockets[0].getsockname()[1]
    tcp = {"host": "127.0.0.1", "port": port, "framing": framing}
    try:
        async with running(config(f"127.0.0.1:{port}", ONE, tcp=tcp, timeout_s=5), heard):
            await wait_until(lambda: len(heard.samples) >= 3)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
    assert all(_is_right(sample) for sample in heard.samples)


def _pass_on(here: int, there: int) -> None:
    os.write(there, os.read(here, 512))


@contextmanager
def _null_modem() -> Iterator[tuple[str, str]]:
    """Two pseudo-terminals wired to each other."""
    loop = asyncio.get_running_loop()
    pairs = [os.openpty(), os.openpty()]
    masters = [master for master, _ in pairs]
    for _, slave in pairs:
        tty.setraw(slave)
    for here, there in (masters, masters[::-1]):
        loop.add_reader(here, _pass_on, here, there)
    try:
        yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    finally:
        for master, slave in pairs:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)


async def test_pymodbus_own_serial_server_is_read_alike(
    heard: Any, config: Any, running: Any
) -> None:
    with _null_modem() as (far, near):
        server = ModbusSerialServer(_simulated(), port=far, baudrate=9600)
        await server.serve_forever(background=True)
        try:
            async with running(config(near, ONE, timeout_s=5), heard):
                await wait_until(lambda: len(heard.samples) >= 3)
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]
    assert all(_is_right(sample) for sample in heard.samples)


async def test_forty_registers_a_read_come_from_another_process_whole_and_in_order(
    heard: Any, config: Any, running: Any
) -> None:
    argv = [sys.executable, "-m", "firmware_bridges.modbus.bench_server", "--units", "2"]
    with run_process(argv) as process:
        port = json.loads(process.wait_line("ready"))["port"]
        devices = [
            {"id": f"d{n}", "unit_id": n, "profile": "bench-40", "period_s": 0.001} for n in (1, 2)
        ]
        async with running(config(port, *devices, timeout_s=5), heard):
            await wait_until(lambda: len(heard.samples) >= 400)
    for device in ("d1", "d2"):
        for n, sample in enumerate(heard.good(device)):
            assert sample.values == tuple(float(n + 1 + i) for i in range(40))
