"""Ports that are missing, in use, lost and found again; other makers' servers; the probe."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.drivers.modbus.driver import ModbusDriver
from tocsin.errors import DriverReason, LinkError
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


async def test_pymodbus_own_server_is_read_alike(heard: Any, config: Any, running: Any) -> None:
    registers = [0, 0, 16712, 0, 16456, 62915, 16968, 0, 16807, 13107]
    device = SimDevice(1, SimData(0, values=registers, datatype=DataType.REGISTERS))
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    listener: Any = server.transport
    port = listener.sockets[0].getsockname()[1]
    try:
        async with running(config(f"127.0.0.1:{port}", ONE), heard):
            await wait_until(lambda: len(heard.samples) >= 3)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
    values = heard.samples[-1].values
    assert values[0] == 0
    assert values[1] == 12.5
    assert values[2] == pytest.approx(3.14, abs=1e-6)
    assert values[3:] == (50.0, pytest.approx(20.9, abs=1e-6))


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
