"""Writes through the line's one owner: before reads, in their time or never, and never claimed without an answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.drivers.modbus.driver import ModbusDriver
from edge.drivers.modbus.orders import MAX_WAITING
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    DeviceFaultError,
    DriverError,
    DriverReason,
    LinkError,
    UsageError,
)
from tocsin.testing import wait_until

ACTUATORS = ((1, "actuator", "relay-8"), (2, "actuator", "valve-actuator"))


def devices(period_s: float = 0.1) -> list[dict[str, Any]]:
    return [
        {"id": f"d{n}", "unit_id": n, "profile": profile, "period_s": period_s}
        for n, _, profile in ACTUATORS
    ]


def writes(folder: Path) -> list[tuple[str, int, int, str]]:
    """What the devices say they were told, in its order."""
    told = [json.loads(t) for t in (folder / "truth.ndjson").read_text("utf-8").splitlines()]
    return [
        (m["device"], m["function"], m["address"], m["values"])
        for m in told
        if m.get("mark") == "write"
    ]


@pytest.mark.parametrize("tcp", [False, True], ids=["serial", "tcp"])
async def test_every_kind_of_write_arrives_and_is_read_back(
    tcp: bool, tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    _, port = start_line(*ACTUATORS, tcp=tcp)
    driver = ModbusDriver(config(port, *devices(), timeout_s=5.0), heard.context)
    async with running(None, heard, driver):
        await wait_until(lambda: bool(heard.good("d1") and heard.good("d2")))
        on = await driver.command("d1", "relay-3", {"state": "on"}, 5.0)
        assert on == {"written": [1], "address": 2, "verified": True}
        moved = await driver.command("d2", "move", {"position": "30.4"}, 5.0)
        assert moved["written"] == [304]
        await driver.command("d2", "control", {"from": "remote"}, 5.0)
        assert await driver.command("d2", "stroke-test", {}, 5.0) == {
            "written": [1],
            "address": 16,
        }
        told = len(heard.good("d1"))
        await wait_until(lambda: len(heard.good("d1")) > told)
        names = [c.quantity for c in heard.good("d1")[-1].spec.channels]
        assert heard.good("d1")[-1].values[names.index("relay_3")] == 1.0
        await driver.command("d1", "all-off", {}, 5.0)
        for name, args in (("relay-9", {}), ("relay-1", {}), ("move", {"position": 101})):
            with pytest.raises(UsageError):
                await driver.command("d2" if name == "move" else "d1", name, args, 5.0)
    assert writes(tmp_path) == [
        ("d1", 5, 2, "1"), ("d2", 6, 0, "304"), ("d2", 16, 1, "1"), ("d2", 5, 16, "1"),
        ("d1", 15, 0, "0,0,0,0,0,0,0,0"),
    ]  # fmt: skip


async def test_a_command_goes_before_the_reads_that_are_due(
    tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    """Twenty devices without a pause between reads; the next write leaves after the read that is under way."""
    units = [(n, "actuator", "relay-8") for n in range(1, 21)]
    _, port = start_line(*units)
    many = [
        {"id": f"d{n}", "unit_id": n, "profile": "relay-8", "period_s": 0.01} for n, *_ in units
    ]
    driver = ModbusDriver(config(port, *many, timeout_s=5.0), heard.context)
    async with running(None, heard, driver):
        await wait_until(lambda: len(heard.samples) > 40)
        before = len(heard.samples)
        orders = [driver.command(f"d{n}", "relay-1", {"state": "on"}, 5.0) for n in range(1, 6)]
        await asyncio.gather(*orders)
        assert len(heard.samples) - before <= 2
    assert [w[0] for w in writes(tmp_path)] == ["d1", "d2", "d3", "d4", "d5"]


async def test_a_command_that_waits_behind_a_slow_device_is_never_sent_after_its_time(
    tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    _, port = start_line(*ACTUATORS, faults=("unit=2,kind=silent",))
    slow = devices()
    slow[1]["timeout_s"] = 0.6
    driver = ModbusDriver(config(port, *slow, retries=0), heard.context)
    async with running(None, heard, driver):
        await wait_until(lambda: bool(heard.good("d1")))
        asked = driver._link
        await wait_until(lambda: asked._listener.block is not None and asked._listener.unit == 2)
        late = asyncio.create_task(driver.command("d1", "relay-1", {"state": "on"}, 0.05))
        good = asyncio.create_task(driver.command("d1", "relay-2", {"state": "on"}, 10.0))
        gone = asyncio.create_task(driver.command("d1", "relay-3", {"state": "on"}, 10.0))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(CommandRefusedError, match="ran out") as caught:
            await late
        assert caught.value.reason is CommandRefusal.EXPIRED
        await good
        with suppress(asyncio.CancelledError):
            await gone
    assert writes(tmp_path) == [("d1", 5, 1, "1")]


async def test_a_full_queue_refuses_and_a_closed_line_sends_nothing(
    tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    _, port = start_line(*ACTUATORS, faults=("unit=2,kind=silent",))
    slow = devices()
    slow[1]["timeout_s"] = 5.0
    driver = ModbusDriver(config(port, *slow, retries=0), heard.context)
    with pytest.raises(LinkError) as caught:
        await driver.command("d1", "relay-1", {"state": "on"}, 5.0)
    assert caught.value.reason is DriverReason.CLOSED
    async with running(None, heard, driver):
        link = driver._link
        await wait_until(lambda: link._listener.block is not None and link._listener.unit == 2)
        waiting = [
            asyncio.create_task(driver.command("d1", "relay-1", {"state": "on"}, 30.0))
            for _ in range(MAX_WAITING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(CommandRefusedError, match="wait for"):
            await driver.command("d1", "relay-1", {"state": "on"}, 30.0)
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {(type(e), getattr(e, "reason", None)) for e in ends} == {
        (LinkError, DriverReason.CLOSED)
    }
    assert writes(tmp_path) == []


@pytest.mark.parametrize("tcp", [False, True], ids=["serial", "tcp"])
async def test_without_an_answer_nobody_claims_to_know_and_only_harmless_writes_are_repeated(
    tcp: bool, tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    """The device writes and is silent from its request number 6 on, for three requests."""
    _, port = start_line(ACTUATORS[1], tcp=tcp, faults=("unit=2,kind=silent,after=6,times=3",))
    one = devices(period_s=600.0)[1:]
    driver = ModbusDriver(config(port, *one, retries=1, timeout_s=0.8), heard.context)

    async def told(name: str, args: dict[str, Any]) -> DriverError | None:
        try:
            await driver.command("d2", name, args, 5.0)
        except DriverError as exc:
            return exc
        return None

    async with running(None, heard, driver):
        await wait_until(lambda: bool(heard.good("d2")))  # two requests
        for position in (1, 2):  # four more: write and read back
            assert await told("move", {"position": position}) is None
        lost = await told("stroke-test", {})
        assert (lost and lost.reason) == DriverReason.NO_ANSWER
        assert writes(tmp_path)[2:] == [("d2", 5, 16, "1")]
        if (
            not tcp
        ):  # a serial line is brought into step by a read first: unanswered, so nothing is sent
            refused = await told("move", {"position": 3})
            assert (refused and refused.reason) == DriverReason.CLOSED
            assert len(writes(tmp_path)) == 3
            return
        again = await told("move", {"position": 3})  # sent twice, silent twice
        assert (again and again.reason) == DriverReason.NO_ANSWER
        assert writes(tmp_path)[3:] == [("d2", 6, 0, "30")] * 2
        assert await told("move", {"position": 4}) is None


async def test_a_device_that_says_no_or_holds_another_value_has_failed(
    tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    fault = "unit=2,kind=exception,code={},after={},times=1"
    faults = (fault.format(2, 2), fault.format(11, 3), fault.format(5, 4))
    _, port = start_line(ACTUATORS[1], tcp=True, faults=faults)
    profile = (
        'schema = 1\n[profile]\nname = "bad"\nmeasurement = "machine"\n[[points]]\nquantity = "mode"\naddress = 1\n'
        '[[commands]]\nname = "set"\nfunction = 16\naddress = 1\nvalues = [9, 9]\nverify = true\n'
        '[[commands]]\nname = "one"\nfunction = 6\naddress = 1\nvalues = [5]\n'
    )
    (tmp_path / "bad.toml").write_text(profile, "utf-8")
    one = {"id": "d2", "unit_id": 2, "profile": str(tmp_path / "bad.toml"), "period_s": 600.0}
    driver = ModbusDriver(config(port, one, retries=1, timeout_s=5.0), heard.context)
    async with running(None, heard, driver):
        await wait_until(lambda: bool(heard.good("d2")))  # one request
        await driver.command("d2", "one", {}, 5.0)
        with pytest.raises(DeviceFaultError, match="illegal address"):
            await driver.command("d2", "one", {}, 5.0)
        for text in ("behind the Modbus gateway", "still at work"):
            with pytest.raises(LinkError, match=text) as caught:
                await driver.command("d2", "one", {}, 5.0)
            assert caught.value.reason is DriverReason.NO_ANSWER
        with pytest.raises(DeviceFaultError):  # register 2 does not exist
            await driver.command("d2", "set", {}, 5.0)


async def test_the_echo_of_an_adapter_never_passes_for_the_answer_to_a_write(
    tmp_path: Path, start_line: Any, config: Any, running: Any, heard: Any
) -> None:
    """The answer to a write of one value is its request again, byte for byte."""
    echo, mute = "unit=2,kind=echo,times=3", "unit=2,kind=echo-only,after=3"
    _, port = start_line(ACTUATORS[1], faults=(echo, mute))
    one = devices(period_s=600.0)[1:]
    driver = ModbusDriver(config(port, *one, retries=0, timeout_s=0.8), heard.context)
    async with running(None, heard, driver):
        await wait_until(lambda: bool(heard.good("d2")))
        assert (await driver.command("d2", "stroke-test", {}, 5.0))["written"] == [1]
        with pytest.raises(LinkError) as caught:
            await driver.command("d2", "stroke-test", {}, 5.0)
        assert caught.value.reason is DriverReason.NO_ANSWER
