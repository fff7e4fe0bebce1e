"""The uplink against our two real brokers and a test-side ingester."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.options import OutboxOptions, UplinkOptions
from edge.outbox import Outbox
from edge.uplink import Uplink
from tocsin.broker import ChildBroker
from tocsin.config import Secret
from tocsin.contract import topics
from tocsin.contract.columns import Layout, Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import AlarmChange, Command
from tocsin.sdk import SystemClock
from tocsin.testing import INGESTER, wait_until
from tocsin.testing.ingester import TestIngester

LAYOUT = Layout("gas-01", "gas", ("h2s", "o2"), "ff")
T0 = 1_700_000_000_000_000_000


def rows(count: int, start: int = 0) -> list[Row]:
    return [Row(LAYOUT, T0 + i * 1_000_000, (i * 0.1, 20.9)) for i in range(start, start + count)]


def alarm(number: int, change: AlarmChange = AlarmChange.RAISED) -> AlarmDraft:
    return AlarmDraft(f"alarm-{number}", "gas-01", "gas", "h2s", "h2s-high", change, 1, T0 + number)


@asynccontextmanager
async def open_outbox(directory: Path, commit_rows: int = 10) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(
        directory,
        site="east",
        gateway="gw-1",
        clock=SystemClock(),
        options=OutboxOptions(commit_interval_ms=20, commit_rows=commit_rows, fsync="none"),
    )
    try:
        yield outbox
    finally:
        await outbox.aclose()


async def no_commands(command: Command) -> str:
    return f"did {command.kind}"


@asynccontextmanager
async def running(outbox: Outbox, port: int, **options: object) -> AsyncIterator[Uplink]:
    uplink = Uplink(
        UplinkOptions.model_validate(
            {
                "host": "127.0.0.1",
                "port": port,
                "password": Secret("gw-1-password"),
                "resend_after_s": 1.0,
                "keepalive_s": 5,
                **options,
            }
        ),
        outbox,
        site="east",
        gateway="gw-1",
        clock=SystemClock(),
        on_command=no_commands,
        command_key=b"key",
    )
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield uplink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def cloud(any_broker: ChildBroker) -> Iterator[TestIngester]:
    with ingester(any_broker.port) as found:
        yield found


def ingester(port: int, **kwargs: object) -> TestIngester:
    return TestIngester(
        port,
        INGESTER.user,
        INGESTER.password,
        site="east",
        gateway="gw-1",
        **kwargs,  # type: ignore[arg-type]
    )


async def test_rows_alarms_and_events_arrive_and_are_settled(
    any_broker: ChildBroker, cloud: TestIngester, tmp_path: Path
) -> None:
    async with open_outbox(tmp_path) as outbox, running(outbox, any_broker.port) as uplink:
        await wait_until(lambda: uplink.connected)
        assert uplink.protocol == ("5" if any_broker.kind == "mosquitto" else "3.1.1")
        await outbox.put_rows(rows(95))
        await outbox.put_alarm(alarm(1))
        await outbox.put_event("agent.started", text="hello")
        await wait_until(lambda: outbox.stats().pending_rows == 0 and outbox.stats().rows == 95)
        await wait_until(lambda: cloud.rows(topics.ALARM) == 1 and cloud.rows(topics.EVENT) == 1)
        assert cloud.rows() == 95
        assert cloud.changed == []
        assert not any(t.endswith("/hist") for t, _ in cloud.messages)
        assert cloud.resumes
        assert cloud.states == [b"online"]
    await wait_until(lambda: cloud.states[-1] == b"offline")
