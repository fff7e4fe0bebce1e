"""The virtual devices, read by pymodbus's own client: what it decodes is what their ledger says."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from firmware_bridges.ledger import Ledger
from firmware_bridges.modbus.device import DeviceConfig, build_line, happen
from firmware_bridges.modbus.faults import measured_at, parse_fault
from tocsin.testing import Process, run_process

GAS_HEAD = "unit={0},device=gas-0{0},model=gas-head,profile={1}"


@contextmanager
def device(*arguments: str) -> Iterator[tuple[Process, dict[str, Any]]]:
    """A device process and its ready line."""
    argv = [sys.executable, "-m", "firmware_bridges.modbus.device", *arguments]
    with run_process(argv) as process:
        yield process, json.loads(process.wait_line("ready"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_floats_read_over_a_serial_line_are_the_ledgers(tmp_path: Path) -> None:
    ledger, link = tmp_path / "truth.ndjson", tmp_path / "rs485"
    arguments = ["--link", str(link), "--ledger", str(ledger)]
    arguments += ["--unit", GAS_HEAD.format(1, "four-gas-head")]
    arguments += ["--unit", GAS_HEAD.format(2, "four-gas-head")]
    with device(*arguments) as (process, ready):
        assert ready["port"] == str(link)
        assert ready["devices"] == ["gas-01", "gas-02"]
        client = AsyncModbusSerialClient(str(link), timeout=5, reconnect_delay=0)
        assert await client.connect()
        for unit in (1, 2, 1):
            answer = await client.read_holding_registers(0, count=10, device_id=unit)
            h2s = client.convert_from_registers(answer.registers[4:6], client.DATATYPE.FLOAT32)
            o2 = client.convert_from_registers(answer.registers[8:10], client.DATATYPE.FLOAT32)
            told = lines(ledger)[-1]
            assert told["device"] == f"gas-0{unit}"
            assert told["values"]["h2s"] == h2s
            assert told["values"]["o2"] == o2
        refused = await client.read_holding_registers(500, count=1, device_id=1)
        assert refused.exception_code == 2
        client.close()
        assert len(lines(ledger)) == 3
        assert process.terminate() == 0
        assert not link.is_symlink()


async def test_scaled_integers_read_over_tcp_are_the_ledgers_in_canonical_units(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "truth.ndjson"
    river = "unit=7,device=river-1,model=river-gauge,profile=river-gauge"
    rain = "unit=8,device=rain-1,model=rain-gauge,profile=rain-gauge"
    arguments = ["--tcp", "127.0.0.1:0", "--ledger", str(ledger), "--unit", river, "--unit", rain]
    with device(*arguments) as (_, ready):
        host, _, port = ready["port"].partition(":")
        client = AsyncModbusTcpClient(host, port=int(port), timeout=5, reconnect_delay=0)
        assert await client.connect()
        answer = await client.read_input_registers(0, count=6, device_id=7)
        level_mm = client.convert_from_registers(answer.registers[:2], client.DATATYPE.INT32)
        flow_l = client.convert_from_registers(answer.registers[2:4], client.DATATYPE.UINT32)
        assert isinstance(level_mm, int)
        assert isinstance(flow_l, int)
        told = lines(ledger)[-1]["values"]
        assert told["level"] == pytest.approx(level_mm / 1000, abs=1e-12)
        assert told["flow"] == pytest.approx(flow_l / 1000, abs=1e-12)
        answer = await client.read_holding_registers(0, count=4, device_id=8)
        tips = client.convert_from_registers(
            answer.registers[:2], client.DATATYPE.UINT32, word_order="little"
        )
        assert isinstance(tips, int)
        assert lines(ledger)[-1]["values"]["rain_total"] == pytest.approx(tips / 10)
        assert tips % 2 == 0
        client.close()


async def test_a_gas_release_crosses_its_limit_once_and_the_device_says_when(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "truth.ndjson"
    unit = GAS_HEAD.format(1, "four-gas-head") + ",limit_h2s=3"
    arguments = ["--ledger", str(ledger), "--unit", unit, "--release-after", "0.2"]
    with device(*arguments) as (_, ready):
        client = AsyncModbusSerialClient(ready["port"], timeout=5, reconnect_delay=0)
        assert await client.connect()
        value: object = 0.0
        while not (isinstance(value, float) and value > 3.5):
            answer = await client.read_holding_registers(4, count=2, device_id=1)
            value = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
            await asyncio.sleep(0.02)
        client.close()
    told = lines(ledger)
    marks = [line for line in told if "mark" in line]
    assert [(m["mark"], m["quantity"], m["limit"]) for m in marks] == [
        ("limit-crossed", "h2s", 3.0)
    ]
    at = told.index(marks[0])
    assert all(line["values"]["h2s"] < 3.0 for line in told[:at])
    assert all(line["values"]["h2s"] >= 3.0 for line in told[at + 1 :])


def test_a_device_ends_when_its_standard_input_closes() -> None:
    with device("--unit", GAS_HEAD.format(1, "four-gas-head"), "--stdin-lease") as (process, _):
        assert process._popen.stdin is not None
        process._popen.stdin.close()
        process._popen.stdin = None
        assert process.wait() == 0


async def test_the_bench_server_counts_what_it_answered() -> None:
    argv = [sys.executable, "-m", "firmware_bridges.modbus.bench_server", "--units", "2"]
    with run_process(argv) as process:
        host, _, port = json.loads(process.wait_line("ready"))["port"].partition(":")
        client = AsyncModbusTcpClient(host, port=int(port), timeout=5, reconnect_delay=0)
        assert await client.connect()
        for read in (1, 2, 3):
            answer = await client.read_holding_registers(0, count=40, device_id=2)
            assert list(answer.registers) == [read + i for i in range(40)]
        client.close()
        assert process.terminate() == 0
        assert json.loads(process.wait_line("reads"))["reads"] == {"1": 0, "2": 3}


def test_a_stuck_unit_answers_with_what_it_measured_last_and_one_of_three_is_spoilt() -> None:
    stuck = parse_fault("unit=1,kind=stuck,from=4")
    assert [measured_at((stuck,), 1, t) for t in (3.0, 4.0, 9.0)] == [3.0, 4.0, 4.0]
    assert measured_at((stuck,), 2, 9.0) == 9.0
    noise = parse_fault("unit=1,kind=crc,every=3,after=1")
    assert [noise.active(0.0, n) for n in range(8)] == [
        False, True, False, False, True, False, False, True,
    ]  # fmt: skip


def test_what_is_set_by_hand_is_measured_until_it_is_let_go() -> None:
    unit = {"unit": 1, "device": "gas-01", "model": "gas-head", "profile": "four-gas-head"}
    config = DeviceConfig.model_validate({"tcp": "127.0.0.1:0", "units": [unit]})
    line = build_line(config, Ledger(None))
    assert happen(line, "set 1 h2s 42\n") == ""
    line.refresh()
    assert line.units[1].image.value("h2s") == 42.0
    assert happen(line, "set 1 h2s -\n") == ""
    line.refresh()
    assert line.units[1].image.value("h2s") != 42.0
    for wrong in ("set 9 h2s 1", "set 1 xyz 1", "set 1 h2s many", "open 1", "set 1"):
        assert happen(line, wrong)
