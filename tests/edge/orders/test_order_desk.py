"""The order desk on a real outbox, with drivers that follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge.options import OutboxOptions
from edge.orders.desk import MAX_AT_ONCE, OrderDesk
from edge.orders.results import Result
from edge.orders.two_step import Guard
from edge.outbox import Outbox
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import VERSION, Command, Event
from tocsin.contract.orders import DEVICE_COMMAND, Outcome, pack
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    DeviceFaultError,
    DriverReason,
    FrameError,
    LinkError,
    UsageError,
)
from tocsin.sdk import CommandSpec, DeviceSpec, SystemClock
from tocsin.testing import wait_until

SPEC = DeviceSpec("valve-1", "machine", (), commands=(CommandSpec("open"), CommandSpec("close")))
R = DriverReason
ENDS: list[tuple[Exception | dict[str, Any], Outcome]] = [
    ({"written": [1]}, Outcome.DONE),
    (UsageError("no"), Outcome.REFUSED),
    (CommandRefusedError(CommandRefusal.REFUSED, "full"), Outcome.REFUSED),
    (CommandRefusedError(CommandRefusal.EXPIRED, "late"), Outcome.EXPIRED),
    (DeviceFaultError(R.EXCEPTION_CODE, "no"), Outcome.FAILED),
    (LinkError(R.CLOSED, "gone"), Outcome.FAILED),
    (LinkError(R.NO_PORT, "gone"), Outcome.FAILED),
    (LinkError(R.NO_ANSWER, "silent"), Outcome.UNKNOWN),
    (FrameError(R.HALF_FRAME, "half"), Outcome.UNKNOWN),
    (FrameError(R.LATE_ANSWER, "late"), Outcome.UNKNOWN),
]


class Scripted:
    """A driver that ends a command as it is told; None waits until `go`."""

    def __init__(self, end: Exception | dict[str, Any] | None) -> None:
        self.end, self.calls = end, 0
        self.go = asyncio.Event()

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        self.calls += 1
        if self.end is None:
            await self.go.wait()
            return {}
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    made = await Outbox.open(
        tmp_path, site="s", gateway="g", clock=SystemClock(), options=OutboxOptions(fsync="none")
    )
    yield made
    await made.aclose()


def desk_on(outbox: Outbox, driver: Scripted, *guards: Guard) -> OrderDesk:
    return OrderDesk(
        outbox,
        SystemClock(),
        lambda d: (driver, SPEC) if d == SPEC.id else None,
        lambda: [SPEC.id],
        guards,
    )


async def events(outbox: Outbox) -> list[Event]:
    chunks = await outbox.pending(topics.EVENT, limit=1000)
    return [decode_body(decode_header(c.payload), c.payload, Event) for c in chunks]


async def ask(desk: OrderDesk, name: str = "open") -> Result:
    return await desk.ask("valve-1", name, {}, "li", 5.0)


@pytest.mark.parametrize(("end", "outcome"), ENDS)
async def test_how_a_driver_ends_a_command_is_its_outcome_and_an_event(
    outbox: Outbox, end: Exception | dict[str, Any], outcome: Outcome
) -> None:
    desk = desk_on(outbox, Scripted(end))
    result = await ask(desk)
    assert result.outcome is outcome
    told = (await events(outbox))[-1]
    assert (told.kind, told.device, told.data["outcome"]) == ("command.result", "valve-1", outcome)
    assert (told.data["actor"], told.data["name"]) == ("li", "open")
    assert await outbox.orders() == {}
    assert desk.counters == {outcome.value: 1}


async def test_nothing_is_handed_over_for_nobody_an_unknown_device_or_command(
    outbox: Outbox,
) -> None:
    driver = Scripted({})
    desk = desk_on(outbox, driver)
    with pytest.raises(CommandRefusedError, match="who are you"):
        await desk.ask("valve-1", "open", {}, " ", 5.0)
    assert "did you mean 'open'" in (await ask(desk, "opne")).text
    other = await desk.ask("valve-9", "open", {}, "li", 5.0)
    assert other.outcome is Outcome.REFUSED
    assert "did you mean 'valve-1'" in other.text
    assert (await desk.ask("valve-1", "open", {}, "li", -1.0)).outcome is Outcome.EXPIRED
    assert (await desk.confirm("nothing", "li", 5.0)).outcome is Outcome.REFUSED
    assert driver.calls == 0


async def test_what_the_last_run_left_open_is_told_once(outbox: Outbox) -> None:
    guard = Guard("valve-*", "close", 60 * 10**9)
    waiting = Scripted(None)
    desk = desk_on(outbox, waiting, guard)
    assert (await ask(desk, "close")).outcome is Outcome.ARMED
    hanging = asyncio.create_task(ask(desk))
    await wait_until(lambda: waiting.calls == 1)
    left = await outbox.orders()
    assert len(left) == 2
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    fresh = desk_on(outbox, Scripted({}))
    await fresh.restore(left)
    ends = [e for e in await events(outbox) if e.kind == "command.result"][-2:]
    assert {(e.data["name"], e.data["outcome"]) for e in ends} == {
        ("close", "expired"),
        ("open", "unknown"),
    }
    assert await outbox.orders() == {}


async def test_an_armed_command_that_nobody_confirms_expires_by_itself(outbox: Outbox) -> None:
    driver = Scripted({})
    desk = desk_on(outbox, driver, Guard("valve-*", "*", 10**7))
    running = asyncio.create_task(desk.run())
    try:
        armed = await ask(desk)
        assert (armed.outcome, armed.code != "") == (Outcome.ARMED, True)
        await wait_until(lambda: desk.counters["expired"] == 1)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert driver.calls == 0
    assert await outbox.orders() == {}


async def test_more_than_a_bounded_number_is_refused_and_the_rest_is_carried_out(
    outbox: Outbox,
) -> None:
    driver = Scripted(None)
    desk = desk_on(outbox, driver)
    now_ns = SystemClock().now_ns()

    def command(n: int) -> Command:
        args = pack("valve-1", "open", {})
        return Command(
            VERSION, f"c{n}", "s", "g", DEVICE_COMMAND, "li", now_ns, now_ns + 60 * 10**9, args
        )  # fmt: skip

    running = asyncio.create_task(desk.run())
    try:
        for n in range(MAX_AT_ONCE):
            await desk.command(command(n))
        await wait_until(lambda: driver.calls == MAX_AT_ONCE)
        for n in range(2 * MAX_AT_ONCE):  # one is taken from the queue and waits for room
            await desk.command(command(1000 + n))
        assert desk.counters["refused"] >= MAX_AT_ONCE - 1
        driver.go.set()
        await wait_until(
            lambda: desk.counters["done"] + desk.counters["refused"] == 3 * MAX_AT_ONCE
        )
        await desk.settled()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
