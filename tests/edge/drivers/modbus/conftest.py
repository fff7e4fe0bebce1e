"""A driver with all it tells, and device processes for it to read."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any

import pytest

from edge.drivers.modbus.config import ModbusConfig
from edge.drivers.modbus.driver import ModbusDriver
from tocsin.errors import DriverError
from tocsin.sdk import DriverContext, Sample, SystemClock
from tocsin.testing import Process, run_process
from tocsin.testing.contexts import keeping


class Heard:
    """Everything a driver told its agent, in order."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.states: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.context = DriverContext(
            name="line",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=keeping(self._emit),
            available=lambda device: self._change(device, "available"),
            unavailable=self._unavailable,
            count=self._count,
        )

    async def _emit(self, sample: Sample) -> None:
        self.samples.append(sample)

    def _unavailable(self, device: str, error: DriverError) -> None:
        assert device in str(error) or error.reason in ("closed", "no-port", "refused")
        self._change(device, error.reason.value)

    def _change(self, device: str, state: str) -> None:
        if self.of(device)[-1:] != [state]:
            self.states.append((device, state))

    def _count(self, name: str, n: int) -> None:
        self.counts[name] += n

    def of(self, device: str) -> list[str]:
        """The states of one device, each change once."""
        return [state for name, state in self.states if name == device]

    def good(self, device: str) -> list[Sample]:
        """The samples of one device that hold values."""
        mine = [s for s in self.samples if s.spec.id == device]
        return [s for s in mine if any(value is not None for value in s.values)]


Running = Callable[..., Any]


def config(port: str, *devices: dict[str, object], **options: object) -> ModbusConfig:
    """A driver configuration for a port as a device process names it."""
    host, colon, number = port.rpartition(":")
    where: dict[str, object] = (
        {"tcp": {"host": host, "port": int(number)}} if colon else {"rtu": {"port": port}}
    )
    raw = {"type": "modbus", "name": "line", "devices": devices, "timeout_s": 0.25}
    return ModbusConfig.model_validate({**raw, **where, **options})


@asynccontextmanager
async def running(
    settings: ModbusConfig, heard: Heard, driver: ModbusDriver | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """The driver at work; cancelled at the end."""
    driver = driver or ModbusDriver(settings, heard.context)
    task = asyncio.create_task(driver.run(), name="driver")
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DriverError):
            await task


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def new_heard() -> type[Heard]:
    """Makes one for each line."""
    return Heard


@pytest.fixture(name="running", scope="module")
def _running() -> Running:
    return running


@pytest.fixture(name="config", scope="module")
def _config() -> Callable[..., ModbusConfig]:
    return config


StartLine = Callable[..., tuple[Process, str]]


@contextmanager
def starting(folder: Path) -> Iterator[StartLine]:
    """Starts device processes with units `(number, model, profile)`; each call gives (process, port)."""
    with ExitStack() as stack:

        def start(
            *units: tuple[int, str, str], tcp: bool = False, faults: tuple[str, ...] = ()
        ) -> tuple[Process, str]:
            argv = [sys.executable, "-m", "firmware_bridges.modbus.device"]
            argv += ["--ledger", str(folder / "truth.ndjson")]
            argv += ["--tcp", "127.0.0.1:0"] if tcp else ["--link", str(folder / "rs485")]
            for number, model, profile in units:
                argv += [
                    "--unit",
                    f"unit={number},device=d{number},model={model},profile={profile}",
                ]
            for fault in faults:
                argv += ["--fault", fault]
            process = stack.enter_context(run_process(argv))
            return process, str(json.loads(process.wait_line("ready"))["port"])

        yield start


@pytest.fixture
def start_line(tmp_path: Path) -> Iterator[StartLine]:
    """Device processes in the test's own folder."""
    with starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def line_starter() -> Callable[[Path], AbstractContextManager[StartLine]]:
    """Device processes in a folder of one's choice."""
    return starting
