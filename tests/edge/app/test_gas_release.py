"""A gas release from the register of a virtual head to siren, broker and people, through kill -9 and restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.control.client import ask
from tests.edge.app.conftest import Start, gateway_toml, port_of, uplink_toml
from tocsin.broker import ChildBroker
from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Alarm, AlarmChange, Command, Event
from tocsin.contract.signing import sign
from tocsin.errors import AlarmRefusal, AlarmRefusedError, ControlError
from tocsin.testing import INGESTER, free_port, wait_until_sync
from tocsin.testing.peer import Peer


def alarms_of(peer: Peer) -> list[Alarm]:
    """Alarm messages without resends."""
    found = [decode_body(decode_header(p), p, Alarm) for t, p in peer.got if "/up/alarm" in t]
    return list({a.seq: a for a in found}.values())


def events_of(peer: Peer) -> list[Event]:
    """Event messages without resends."""
    found = [decode_body(decode_header(p), p, Event) for t, p in peer.got if "/up/event" in t]
    return list({e.seq: e for e in found}.values())


def answers(socket: Path) -> Callable[[], bool]:
    """Whether an agent answers."""

    def check() -> bool:
        try:
            ask(socket, "status")
        except ControlError:
            return False
        return True

    return check


def test_a_release_is_heard_acknowledged_survives_a_kill_and_is_reset(
    tmp_path: Path, mosquitto: ChildBroker, start_edge: Start, start_head: Start
) -> None:
    port = free_port()
    toml = gateway_toml(port) + uplink_toml(mosquitto.port)
    socket, siren = tmp_path / "data" / "control.sock", tmp_path / "siren"

    def views() -> list[dict[str, Any]]:
        return msgspec.convert(ask(socket, "alarms"), list[dict[str, Any]])

    with Peer(mosquitto.port, INGESTER.user, INGESTER.password) as peer:
        assert peer.subscribe("tocsin/1/+/+/+/up/#")
        edge = start_edge(toml)
        wait_until_sync(lambda: any(e.kind == "device.unavailable" for e in events_of(peer)))
        head = start_head(port, ",release_after_s=2")
        wait_until_sync(lambda: len(alarms_of(peer)) >= 2, what=f"two levels: {edge.stderr}")
        raised, escalated = alarms_of(peer)[:2]
        assert (raised.change, raised.level) == (AlarmChange.RAISED, 1)
        assert (escalated.change, escalated.level) == (AlarmChange.ESCALATED, 2)
        assert raised.alarm == escalated.alarm
        assert (raised.limit, raised.unit, raised.latched) == (4.0, "[ppm]", True)
        assert siren.read_text("utf-8") == "on\n"

        (view,) = views()
        assert (view["level"], view["acknowledged"]) == (2, False)
        ask(socket, "ack", {"alarm": view["alarm"], "actor": "li", "note": "on my way"})
        assert siren.read_text("utf-8") == "off\n"
        with pytest.raises(AlarmRefusedError) as refused:
            ask(socket, "reset", {"alarm": view["alarm"], "actor": "li"})
        assert refused.value.reason is AlarmRefusal.STILL_BEYOND_LIMIT

        edge.kill9()
        edge = start_edge(toml)
        wait_until_sync(answers(socket), what=f"the second agent: {edge.stderr}")
        (view,) = views()
        assert (view["alarm"], view["acknowledged"], view["actor"]) == (raised.alarm, True, "li")

        lost = [e.kind for e in events_of(peer)].count("device.unavailable") + 1
        head.terminate()
        wait_until_sync(
            lambda: [e.kind for e in events_of(peer)].count("device.unavailable") >= lost
        )
        start_head(port)
        wait_until_sync(lambda: not views()[0]["beyond"], what=f"the return: {edge.stderr}")
        ask(socket, "reset", {"alarm": view["alarm"], "actor": "wang"})
        assert views() == []

        assert edge.terminate() == 0
        summary = msgspec.json.decode(edge.stdout[-1])
        assert (summary["uncommitted_readings"], summary["alarms_raised"]) == (0, 0)
        wait_until_sync(lambda: any(e.kind == "agent.stopped" for e in events_of(peer)))

    changes = [(a.change.value, a.actor) for a in alarms_of(peer)]
    assert changes[2:] == [("acknowledged", "li"), ("returned", ""), ("reset", "wang")]
    assert {a.alarm for a in alarms_of(peer)} == {raised.alarm}
    kinds = [e.kind for e in events_of(peer)]
    assert kinds.count("agent.started") == 2
    assert kinds.count("device.recovered") == 2
    for outage in " ".join(kinds).split("device.recovered")[:2]:  # closed, then refused
        assert 1 <= outage.count("device.unavailable") <= 2
    (announced, *_) = [e for e in events_of(peer) if e.kind == "device.announced"]
    assert announced.device == "gas-01"
    assert {"name": "h2s", "unit": "[ppm]", "type": "f"} in list(announced.data["quantities"])


def test_the_cloud_acknowledges_by_a_signed_command_and_its_reset_is_refused_with_the_reason(
    tmp_path: Path, mosquitto: ChildBroker, start_edge: Start, start_head: Start
) -> None:
    head = start_head(0, ",release_after_s=0")
    start_edge(gateway_toml(port_of(head)) + uplink_toml(mosquitto.port))
    with Peer(mosquitto.port, INGESTER.user, INGESTER.password) as peer:
        assert peer.subscribe("tocsin/1/+/+/+/up/#")
        wait_until_sync(lambda: alarms_of(peer))
        alarm = alarms_of(peer)[0].alarm

        def order(number: int, kind: str) -> Event:
            now = time.time_ns()
            command = Command(
                1, f"C{number}", "plant", "gw-1", kind, "duty", now, now + 60_000_000_000,
                {"alarm": alarm},
            )  # fmt: skip
            payload = msgspec.json.encode(sign(command, b"gw-1-key"))
            peer.publish(topics.down("plant", "gw-1", "command"), payload)
            wait_until_sync(lambda: outcome(number) is not None, what=f"an answer to {kind}")
            found = outcome(number)
            assert found is not None
            return found

        def outcome(number: int) -> Event | None:
            events = (e for e in events_of(peer) if e.kind.startswith("command."))
            return next((e for e in events if e.data["id"] == f"C{number}"), None)

        assert order(1, "alarm.acknowledge").kind == "command.done"
        refused = order(2, "alarm.reset")
        assert refused.kind == "command.refused"
        assert "still-beyond-limit" in refused.text
        assert order(3, "door.open").data["reason"] == "unknown-kind"
    acknowledged = [a for a in alarms_of(peer) if a.change is AlarmChange.ACKNOWLEDGED]
    assert [a.actor for a in acknowledged] == ["duty"]


def test_the_button_on_the_gateway_acknowledges_without_a_cloud(
    tmp_path: Path, start_edge: Start, start_head: Start
) -> None:
    head = start_head(0, ",release_after_s=0")
    start_edge(gateway_toml(port_of(head)))
    siren, socket = tmp_path / "siren", tmp_path / "data" / "control.sock"

    def view() -> dict[str, Any]:
        return msgspec.convert(ask(socket, "alarms"), list[dict[str, Any]])[0]

    wait_until_sync(lambda: siren.exists() and siren.read_text("utf-8") == "on\n")
    wait_until_sync(lambda: view()["level"] == 2)
    (tmp_path / "button").write_text("1", "utf-8")
    wait_until_sync(lambda: siren.read_text("utf-8") == "off\n")
    assert (view()["acknowledged"], view()["actor"]) == (True, "button")
