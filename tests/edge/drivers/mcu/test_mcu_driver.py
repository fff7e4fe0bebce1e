"""The driver against the reference firmware behind a real port."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.drivers.mcu.config import McuConfig
from edge.drivers.mcu.driver import McuDriver
from tocsin.contract.quality import Quality
from tocsin.errors import DriverError
from tocsin.sdk import DriverContext, Sample, SystemClock, load_driver
from tocsin.testing import Process, run_process, wait_until

CHANNELS = [
    {"sensor": "temp", "unit": "Cel", "quantity": "temperature"},
    {"sensor": "h2s", "unit": "[ppm]"},
]


class Agent:
    """What the agent would see of one driver; `gate` holds back the commit."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.counts: Counter[str] = Counter()
        self.errors: list[DriverError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.context = DriverContext(
            name="mcu",
            clock=SystemClock(),
            log=logging.getLogger("test"),
            emit=self._emit,
            keep=self._keep,
            available=lambda device: None,
            unavailable=lambda device, error: self.errors.append(error),
            count=lambda name, n: self.counts.update({name: n}),
        )

    async def _emit(self, sample: Sample) -> None:
        raise AssertionError("a board's samples are kept, not emitted")

    async def _keep(self, samples: Sequence[Sample]) -> None:
        await self.gate.wait()
        self.samples += samples

    def driver(self, **config: object) -> McuDriver:
        made = {"type": "mcu", "name": "mcu", "device": "head-1", "channels": CHANNELS, **config}
        return McuDriver(McuConfig.model_validate(made), self.context)

    def values(self) -> list[list[float | None]]:
        """(temperature, h2s) by the time of the board."""
        ordered = sorted(self.samples, key=lambda s: s.source_ns or 0)
        return [list(s.values) for s in ordered]  # type: ignore[arg-type]


def _ledger(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _truth(path: Path) -> list[list[float | None]]:
    return [[e["values"]["temp"], e["values"]["h2s"]] for e in _ledger(path)]


@contextmanager
def _board(*arguments: str) -> Iterator[tuple[Process, str]]:
    argv = [sys.executable, "-m", "firmware_bridges.mcu.device", *arguments]
    with run_process(argv) as process:
        yield process, json.loads(process.wait_line('"ready"'))["port"]


@contextmanager
def _running(driver: McuDriver) -> Iterator[asyncio.Task[None]]:
    task = asyncio.create_task(driver.run())
    try:
        yield task
    finally:
        task.cancel()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", ["tcp", "pty"])
async def test_every_sample_of_a_board_arrives_once_with_the_boards_time(
    kind: str, tmp_path: Path
) -> None:
    agent, ledger = Agent(), tmp_path / "ledger"
    where = ("--tcp", "127.0.0.1:0") if kind == "tcp" else ("--pty",)
    args = ("--hz", "20", "--count", "40", "--resend-ms", "300", "--ledger", str(ledger))
    with _board(*where, *args) as (_, port):
        source = {"connect": port} if kind == "tcp" else {"port": port}
        task = asyncio.create_task(agent.driver(**source).run())
        await wait_until(lambda: len(agent.samples) >= 40)
        await _ended(task)
    assert agent.values() == _truth(ledger)
    assert sum(s.quality is not None for s in agent.samples) == 3
    assert {s.quality for s in agent.samples} == {None, (int(Quality.MISSING), 0)}
    far = [
        abs(((s.source_ns or 0) - e["t_ns"]) / 1e9)
        for s, e in zip(
            sorted(agent.samples, key=lambda s: s.source_ns or 0), _ledger(ledger), strict=True
        )
    ]
    assert max(far) < 2.0
    assert agent.counts["mcu.boots"] == 1


async def test_noise_on_the_line_costs_resends_and_no_sample(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger"
    args = ("--hz", "30", "--count", "60", "--resend-ms", "200", "--spoil-every", "3")
    with _board("--tcp", "127.0.0.1:0", *args, "--ledger", str(ledger)) as (_, port):
        task = asyncio.create_task(agent.driver(connect=port).run())
        await wait_until(lambda: len(agent.samples) >= 60)
        await asyncio.sleep(0)
        await _ended(task)
    assert agent.values() == _truth(ledger)
    assert sum(n for name, n in agent.counts.items() if name.startswith("mcu.refused.")) > 5


async def test_nothing_is_acknowledged_before_it_is_durable(tmp_path: Path) -> None:
    agent, ledger = Agent(), tmp_path / "ledger"
    args = ("--hz", "50", "--count", "20", "--resend-ms", "200", "--ledger", str(ledger))
    with _board("--tcp", "127.0.0.1:0", *args) as (_, port):
        agent.gate.clear()
        first = asyncio.create_task(agent.driver(connect=port).run())
        await wait_until(lambda: len(_truth(ledger)) == 20)
        await _ended(first)  # killed with everything received and nothing committed
        assert agent.samples == []
        agent.gate.set()
        second = asyncio.create_task(agent.driver(connect=port).run())
        await wait_until(lambda: len(agent.samples) >= 20)
        await _ended(second)
    assert agent.values() == _truth(ledger)


async def test_a_board_that_is_another_or_measures_otherwise_is_refused_with_what_to_write() -> (
    None
):
    with _board("--tcp", "127.0.0.1:0", "--hz", "10") as (_, port):
        wrong: list[tuple[dict[str, object], str]] = [
            ({"board": "board-2"}, "this is board 'board-1', not 'board-2'"),
            ({"channels": [{"sensor": "co", "unit": "[ppm]"}]}, "has no sensor 'co'"),
            ({"channels": [{"sensor": "h2s", "unit": "mg/m3"}]}, "tells h2s in '[ppm]'"),
        ]
        for config, text in wrong:
            agent = Agent()
            (line,) = await agent.driver(connect=port, **config).probe()
            assert not line.ok
            assert text in line.text
            with _running(agent.driver(connect=port, **config)):
                await wait_until(lambda agent=agent: bool(agent.errors))
            assert text in agent.errors[0].message
            assert agent.samples == []
        assert '{ sensor = "h2s", unit = "[ppm]" }' in line.text
        (line,) = await Agent().driver(connect=port).probe()
        assert line.ok
        assert "h2s [ppm], temp Cel" in line.text


def test_the_configuration_is_checked_and_the_driver_is_installed() -> None:
    made: dict[str, Any] = {"type": "mcu", "name": "m", "device": "d", "channels": CHANNELS}
    for wrong in (
        {},
        {"port": "/dev/x", "connect": "h:1"},
        {"port": "/dev/x", "channels": []},
        {"port": "/dev/x", "channels": [CHANNELS[0], CHANNELS[0]]},
    ):
        with pytest.raises(ValidationError):
            McuConfig.model_validate(made | wrong)
    assert load_driver("mcu") is McuDriver
