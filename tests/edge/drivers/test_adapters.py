"""A port keeps its adapter when the kernel gives it another number."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge import adapters
from edge.adapters import find_adapter
from edge.drivers.modbus.config import ModbusConfig
from edge.drivers.modbus.driver import ModbusDriver
from edge.ports import SerialLink
from edge.survey import offline
from tocsin.errors import DriverReason, LinkError
from tocsin.testing import Process, run_process


class Sockets:
    """/dev as udev keeps it: numbers that change hands, and names under serial/by-id that follow the adapter."""

    def __init__(self, folder: Path) -> None:
        self.dev = folder / "dev"
        self.by_id = self.dev / "serial" / "by-id"
        self.by_id.mkdir(parents=True)

    def plug(self, adapter: str, number: int, terminal: str) -> str:
        """The adapter appears under a number; returns the path of that number."""
        port = self.dev / f"ttyUSB{number}"
        port.symlink_to(terminal)
        (self.by_id / adapter).symlink_to(port)
        return str(port)

    def unplug(self, adapter: str) -> None:
        link = self.by_id / adapter
        link.readlink().unlink()
        link.unlink()


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sockets:
    found = Sockets(tmp_path)
    monkeypatch.setattr(adapters, "BY_ID", found.by_id)
    monkeypatch.setattr(adapters, "_seen", {})
    return found


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[tuple[Process, str]]]:
    """Two lines, each with one gas head: unit 1 on the first, unit 2 on the second."""
    with ExitStack() as stack:
        found = []
        for unit in (1, 2):
            argv = [sys.executable, "-m", "firmware_bridges.modbus.device"]
            argv += ["--link", str(tmp_path / f"line{unit}")]
            argv += ["--unit", f"unit={unit},device=d{unit},model=gas-head,profile=four-gas-head"]
            process = stack.enter_context(run_process(argv))
            port = json.loads(process.wait_line("ready"))["port"]
            found.append((process, os.path.realpath(port)))
        yield found


def _reader(port: str, unit: int) -> ModbusDriver:
    device = {"id": f"d{unit}", "unit_id": unit, "profile": "four-gas-head"}
    raw: dict[str, Any] = {"type": "modbus", "name": "line", "devices": [device]}
    config = ModbusConfig.model_validate({**raw, "rtu": {"port": port}, "timeout_s": 2.0})
    return ModbusDriver(config, offline("line"))


async def _answers(port: str, unit: int) -> bool:
    return (await _reader(port, unit).probe())[0].ok


async def test_two_adapters_that_swap_their_numbers_are_each_found_again(
    sockets: Sockets, terminals: list[tuple[Process, str]]
) -> None:
    (_, first), (_, second) = terminals
    zero, one = sockets.plug("usb-A", 0, first), sockets.plug("usb-B", 1, second)
    assert await _answers(zero, 1)
    assert await _answers(one, 2)
    sockets.unplug("usb-A")
    sockets.unplug("usb-B")
    sockets.plug("usb-B", 0, second)
    sockets.plug("usb-A", 1, first)
    assert await _answers(zero, 1)
    assert await _answers(one, 2)


async def test_the_number_of_another_ports_adapter_is_not_opened(
    sockets: Sockets, terminals: list[tuple[Process, str]]
) -> None:
    (_, first), (_, second) = terminals
    zero, one = sockets.plug("usb-A", 0, first), sockets.plug("usb-B", 1, second)
    assert await _answers(zero, 1)
    assert await _answers(one, 2)
    sockets.unplug("usb-A")
    sockets.unplug("usb-B")
    sockets.plug("usb-B", 0, second)
    with pytest.raises(LinkError) as caught:
        SerialLink(zero, 9600)
    assert caught.value.reason is DriverReason.NO_PORT
    assert "usb-A" in str(caught.value)
    assert await _answers(one, 2)


def test_an_adapter_that_was_replaced_is_taken_and_names_and_strangers_are_left_as_they_are(
    sockets: Sockets, tmp_path: Path
) -> None:
    terminal = tmp_path / "terminal"
    terminal.touch()
    zero = sockets.plug("usb-A", 0, str(terminal))
    assert find_adapter(zero) == zero
    sockets.unplug("usb-A")
    assert find_adapter(zero) == zero
    sockets.plug("usb-C", 0, str(terminal))
    assert find_adapter(zero) == zero
    sockets.unplug("usb-C")
    moved = sockets.plug("usb-C", 3, str(terminal))
    assert find_adapter(zero) == str(sockets.by_id / "usb-C")
    assert os.path.realpath(find_adapter(zero)) == os.path.realpath(moved)
    by_name = str(sockets.by_id / "usb-C")
    assert find_adapter(by_name) == by_name
    assert find_adapter("/dev/ttyS0") == "/dev/ttyS0"
