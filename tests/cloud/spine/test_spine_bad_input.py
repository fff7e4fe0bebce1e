"""Bad input through a real broker: named, counted, acknowledged, and nothing else lost. And alarms to and fro."""

from __future__ import annotations

import json
import os
import signal
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import msgspec

from tocsin.broker import Account
from tocsin.contract import topics
from tocsin.contract.codec import HEADER_BYTES, encode
from tocsin.contract.columns import Row, group_rows
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, Batch, Command, Event
from tocsin.contract.signing import is_signed
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.gateway import WireGateway

Make = Callable[..., AbstractContextManager[Any]]
Scan = Callable[[int, int], list[Row]]
TELEMETRY = topics.up("plant", "gw-1", topics.TELEMETRY)


def test_bad_messages_become_dead_letters_and_cost_their_neighbours_nothing(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker(
            "auto", accounts=[gateway_account, Account("gw-9", "gw-9-password")]
        ) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
        WireGateway(broker.port, "gw-9", "plant", "gw-9-password") as stranger,
    ):
        gateway.put(scan(3, 0))
        good = _sealed(gateway, scan(4, 100), first_seq=1000)
        for bad in (
            b"garbage" * 20,
            good[:30],
            good[:-5] + b"?????",
            b"TOC7" + good[4:],
            _resealed(good, lambda body: body["b"][0].update(x=[[1, 2, 3, 4]])),
            _resealed(good, lambda body: body.update(b="no list"), first_seq=2000),
            _sealed(gateway, scan(4, 100), first_seq=5000) + b" " * (1 << 20),
        ):
            gateway.publish(TELEMETRY, bad)
        one_bad = _resealed(
            good, lambda body: body["b"][0]["x"][0].__setitem__(2, "not a number"), first_seq=3000
        )
        gateway.publish(TELEMETRY, one_bad)
        gateway.publish(topics.up("other-site", "gw-1", topics.TELEMETRY), good)
        stranger.put(scan(1, 0))
        gateway.put(scan(3, 3))
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "the good chunks")
        wait_until_sync(
            lambda: len(spine.call("deadletters", limit=99)) >= 12, 30.0, "twelve letters"
        )
        letters = spine.call("deadletters", limit=99)
        strangers = [r for r in letters if r["reason"] == "unknown-gateway"]
        reasons = sorted(str(r["reason"]) for r in letters if r not in strangers)
        assert reasons == sorted(
            [
                "bad-magic", "truncated", "bad-crc", "wrong-version", "bad-shape", "wrong-type",
                "oversized", "bad-reading",
            ]
        )  # fmt: skip
        assert strangers
        (cell,) = [r for r in letters if r["reason"] == "bad-reading"]
        assert (cell["device"], cell["quantity"], cell["lo"]) == ("gas-01", "h2s", 3002)
        values = spine.column("SELECT h2s FROM gas WHERE h2s IS NOT NULL ORDER BY seq")
        assert values == [0, 1, 2, 3, 4, 5, 100, 101, 103]
        wait_until_sync(lambda: 2000 in gateway.rejected, 30.0, "a rejection in the ack")
        assert 1000 in gateway.rejected
        assert 3002 not in gateway.rejected
        assert stranger.uncommitted == 1
        shown = spine.call("deadletter", id=cell["id"])
        assert shown["payload"] == one_bad


def test_the_same_corrupt_bytes_a_third_time_are_settled_as_rejected(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        corrupt = _sealed(gateway, scan(4, 0), first_seq=50)[:-3] + b"???"
        for n in (1, 2, 3):
            gateway.publish(TELEMETRY, corrupt)
            wait_until_sync(partial(_came, spine, n), 30.0, "the letter counted")
            if n < 3:
                assert 50 not in gateway.rejected
        wait_until_sync(lambda: 50 in gateway.rejected, 30.0, "the rejection")


def _came(spine: Any, n: int) -> bool:
    letters = spine.call("deadletters", limit=9)
    return bool(letters) and letters[0]["n"] == n


def test_a_stamp_an_hour_ahead_is_kept_flagged_and_never_the_last_value(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        gateway.put(scan(1, 1))
        (row,) = scan(1, 777)
        ahead = row.time_ns + 3600 * 10**9
        gateway.put([msgspec.structs.replace(row, time_ns=ahead)])
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "both")
        last = {r["quantity"]: r["value"] for r in spine.call("last")}
        assert last["h2s"] == 1.0
        data = spine.call("query", sql="SELECT h2s_q, source_time, time < now() FROM gas WHERE h2s = 777")["data"]  # fmt: skip
        assert data == [[6], [ahead], [True]]
        assert spine.call("counters")["future_time"] == 1


def test_an_alarm_is_mirrored_acknowledged_by_a_signed_command_and_heard_by_subscribers(
    spine_on: Make, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        raised = Alarm(
            VERSION, "plant", "gw-1", gateway.stream, 0, "A1", "gas-01", "gas", "h2s", "h2s-high",
            AlarmChange.RAISED, 1, time.time_ns(), value=21.0, unit="[ppm]", limit=20.0, latched=True,
        )  # fmt: skip
        up = topics.up("plant", "gw-1", topics.ALARM)
        for _ in range(3):
            gateway.publish(up, encode(raised))
        wait_until_sync(lambda: spine.call("alarms", active=True, limit=9), 30.0, "the alarm")
        told = spine.call("alarm_ack", alarm="A1", actor="Li", note="seen")
        assert told["pending"] == ["acknowledge"]
        wait_until_sync(lambda: gateway.down, 30.0, "the command")
        topic, payload = gateway.down[0]
        command = msgspec.json.decode(payload, type=Command)
        assert topic == topics.down("plant", "gw-1", "command")
        assert is_signed(command, b"the gateway's command key")
        fields = {name: getattr(raised, name) for name in raised.__struct_fields__}
        acked = Alarm(**{**fields, "seq": 1, "change": AlarmChange.ACKNOWLEDGED, "acknowledged": True, "actor": "Li"})  # fmt: skip
        gateway.publish(up, encode(acked))
        wait_until_sync(lambda: spine.call("alarms", active=True, limit=9)[0]["acknowledged"], 30.0, "confirmed")  # fmt: skip
        changes = [e["change"] for e in spine.call("alarm_journal", alarm="A1")]
        assert sorted(changes) == ["acknowledge-requested", "acknowledged", "raised"]


def test_a_device_that_falls_silent_is_an_alarm_and_events_can_be_queried(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker, "[alarms]\nsilent_periods = 2\nsilent_min_s = 2.5\n") as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        data: dict[str, object] = {"measurement": "gas", "period_s": 0.2, "model": "x"}
        announced = Event(VERSION, "plant", "gw-1", gateway.stream, 900, "device.announced", time.time_ns(), "gas-01", data=data)  # fmt: skip
        gateway.publish(topics.up("plant", "gw-1", topics.EVENT), encode(announced))
        gateway.put(scan(2, 0))
        wait_until_sync(lambda: _active(spine) == ["device-silent"], 30.0, "the alarm")
        (alarm,) = spine.call("alarms", active=True, limit=9)
        gateway.put(scan(1, 2))
        wait_until_sync(lambda: "returned" in [e["change"] for e in spine.call("alarm_journal", alarm=alarm["alarm"])], 30.0, "its return")  # fmt: skip
        kinds = spine.column("SELECT kind FROM event WHERE device = 'gas-01'")
        assert kinds == ["device.announced"]
        (device,) = spine.call("devices")
        assert (device["period_s"], device["measurement"]) == (0.2, "gas")


def test_an_event_of_a_clock_that_was_never_set_is_stored_when_it_came_with_its_claim(
    spine_on: Make, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        began_ns, claimed = time.time_ns(), 12_000_000_000
        started = Event(VERSION, "plant", "gw-1", gateway.stream, 0, "agent.started", claimed, data={"clock": "unset"})  # fmt: skip
        gateway.publish(topics.up("plant", "gw-1", topics.EVENT), encode(started))
        wait_until_sync(lambda: spine.call("counters").get("commits"), 30.0, "its commit")
        (at_ns,) = spine.column("SELECT time FROM event")
        assert began_ns <= at_ns <= time.time_ns()
        (data,) = spine.column("SELECT data FROM event")
        assert json.loads(data) == {"clock": "unset", "claimed_ns": claimed}


def test_a_process_that_stood_still_calls_nobody_silent(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker, "[alarms]\nsilent_periods = 2\nsilent_min_s = 2.5\n") as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        data: dict[str, object] = {"measurement": "gas", "period_s": 0.2}
        announced = Event(VERSION, "plant", "gw-1", gateway.stream, 900, "device.announced", time.time_ns(), "gas-01", data=data)  # fmt: skip
        gateway.publish(topics.up("plant", "gw-1", topics.EVENT), encode(announced))
        gateway.put(scan(1, 0))
        wait_until_sync(lambda: not gateway.uncommitted, 30.0, "a commit")
        pid = spine.process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(6.5)  # longer than five looks
        os.kill(pid, signal.SIGCONT)
        began, at = time.monotonic(), 1
        while time.monotonic() - began < 4.0:
            gateway.put(scan(1, at))
            at += 1
            time.sleep(0.3)
        assert any("stood still" in line for line in spine.process.stderr)
        assert spine.call("alarms", active=False, limit=9) == []


def _active(spine: Any) -> list[object]:
    return [a["rule"] for a in spine.call("alarms", active=True, limit=9)]


def test_fields_of_a_newer_gateway_are_counted_once_a_stream(
    spine_on: Make, scan: Scan, gateway_account: Account
) -> None:
    with (
        throwaway_broker("auto", accounts=[gateway_account]) as broker,
        spine_on(broker) as spine,
        WireGateway(broker.port, "gw-1", "plant", gateway_account.password) as gateway,
    ):
        message = _sealed(gateway, scan(4, 0), first_seq=0)
        for first_seq in (0, 4):
            gateway.publish(
                TELEMETRY, _resealed(message, lambda body: body.update(soil="wet"), first_seq)
            )
        wait_until_sync(lambda: spine.call("counters").get("rows") == 8, 30.0, "both messages")
        counters = spine.call("counters")
        assert counters["unknown_fields"] == 1
        assert counters["unknown_field_names"] == "telemetry: soil"
        assert spine.call("deadletters", limit=9) == []


def _sealed(gateway: WireGateway, rows: list[Row], first_seq: int) -> bytes:
    t0, unit, groups = group_rows(rows)
    return encode(Batch(VERSION, "plant", "gw-1", gateway.stream, first_seq, t0, groups, unit))


def _resealed(
    message: bytes, change: Callable[[dict[str, Any]], object], first_seq: int = 1000
) -> bytes:
    """The message with another body and number, its checksum sound."""
    body = json.loads(message[HEADER_BYTES:])
    body["s0"] = first_seq
    change(body)
    data = json.dumps(body).encode()
    stream = message[8:34].decode()
    head = f"TOC1 jn {stream} {first_seq:016x} {int(message[52:56], 16):04x} ".encode()
    return b"%s%08x\n%s" % (head, zlib.crc32(data, zlib.crc32(head)), data)
