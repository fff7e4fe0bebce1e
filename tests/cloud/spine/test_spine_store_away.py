"""A disk that takes no byte more: everything waits, within bounds, and nothing is lost or doubled."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import encode
from tocsin.contract.columns import Row
from tocsin.contract.ids import ulid
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, ClockState, Health
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[Any]]
Scan = Callable[[int, int], list[Row]]
QUEUE_BYTES = 1 << 20


def test_a_full_disk_holds_readings_back_without_loss_and_is_said_once(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker, f"queue_bytes = {QUEUE_BYTES}\n") as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        gateway.put(scan(40, 0))
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "a first chunk")
        before_kb, acks = _resident_kb(spine.process.pid), gateway.acks
        _fill(spine.process.pid)
        for _ in range(300):
            gateway.put(scan(100, gateway.rows))
        gateway.publish(topics.up("plant", "gw-1", topics.ALARM), encode(_alarm()))
        wait_until_sync(lambda: spine.call("counters")["overflows"], 30.0, "a full hand-over")
        wait_until_sync(
            lambda: spine.call("counters").get("store_unavailable", 0) >= 4, 30.0, "tries"
        )
        counters = spine.call("counters")
        assert "accept a write" in counters["store_error"]
        assert counters["waiting_bytes"] <= QUEUE_BYTES + 4096
        assert counters["rows"] == 40
        assert (gateway.uncommitted, gateway.acks) == (300, acks)
        assert _resident_kb(spine.process.pid) - before_kb < 64 << 10
        _free(spine.process.pid)
        wait_until_sync(lambda: not gateway.uncommitted, 60.0, "everything committed")
        seqs = spine.column("SELECT seq FROM gas ORDER BY seq")
        assert seqs == list(range(gateway.rows))
        wait_until_sync(lambda: spine.call("alarms", active=True, limit=9), 30.0, "the alarm")
        assert spine.call("counters")["store_error"] == ""
        said = [line for line in spine.process.stderr if "cloud.ingest" in line]
        assert len(said) == 2, said
        assert "unavailable" in said[0]
        assert "is back" in said[1]


def test_a_state_database_that_takes_nothing_holds_alarms_back_without_loss(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        _fill(spine.process.pid)
        gateway.publish(topics.up("plant", "gw-1", topics.ALARM), encode(_alarm()))
        gateway.publish(topics.up("plant", "gw-1", topics.TELEMETRY), b"garbage" * 20)
        wait_until_sync(lambda: spine.call("counters").get("store_unavailable", 0) >= 3, 30.0)
        assert "state database" in spine.call("counters")["store_error"]
        assert spine.call("alarms", active=True, limit=9) == []
        _free(spine.process.pid)
        wait_until_sync(lambda: spine.call("alarms", active=True, limit=9), 30.0, "the alarm")
        wait_until_sync(lambda: spine.call("deadletters", limit=9), 30.0, "the letter")
        (letter,) = spine.call("deadletters", limit=9)
        assert letter["n"] == 1
        changes = [e["change"] for e in spine.call("alarm_journal", alarm="A1")]
        assert changes == ["raised"]


def test_what_a_gateway_says_of_its_present_takes_no_room_while_the_store_is_away(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        _fill(spine.process.pid)
        gateway.put(scan(40, 0))
        waits = lambda: spine.call("counters").get("store_unavailable", 0) >= 1  # noqa: E731
        wait_until_sync(waits, 30.0, "a try")
        before = spine.call("counters")
        payload = msgspec.json.encode(
            Health(
                VERSION,
                "plant",
                "gw-1",
                time.time_ns(),
                "boot",
                "0.1.0",
                1.0,
                ClockState("ntp"),
                [],
            )
        )
        for _ in range(200):
            gateway.publish(topics.up("plant", "gw-1", topics.HEALTH), payload)
        heard = before["messages"] + 200
        wait_until_sync(lambda: spine.call("counters")["messages"] >= heard, 30.0, "all of them")
        counters = spine.call("counters")
        assert counters["waiting_bytes"] <= before["waiting_bytes"] + 8192
        assert counters.get("rows", 0) == before.get("rows", 0)
        _free(spine.process.pid)
        wait_until_sync(lambda: not gateway.uncommitted, 60.0, "the readings")


def _fill(pid: int) -> None:
    """From now on no file of this process may grow: its writes fail as on a full disk."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def _free(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _alarm() -> Alarm:
    return Alarm(
        VERSION, "plant", "gw-1", ulid(time.time_ns()), 0, "A1", "gas-01", "gas", "h2s", "h2s-high",
        AlarmChange.RAISED, 1, time.time_ns(), value=21.0, unit="[ppm]", limit=20.0,
    )  # fmt: skip
