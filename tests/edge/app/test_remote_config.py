"""Configurations from the cloud: signed, newer, right, tried, and rolled back when the cloud is gone after them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.control.client import ask
from edge.remote import Sources
from edge.remote.store import RemoteState
from edge.survey import survey
from tests.edge.app.conftest import Start, port_of, start_line, uplink_toml
from tests.edge.app.test_reload import ALARMS, HEAD, line, told
from tocsin.broker import ChildBroker
from tocsin.contract.messages import Command, Event, Health
from tocsin.contract.signing import sign
from tocsin.errors import ControlError
from tocsin.testing import INGESTER, Process, free_port, wait_until_sync
from tocsin.testing.ingester import TestIngester

CONFIRM_S = 3


class Site:
    """A running gateway, its cloud, and what both say."""

    def __init__(self, folder: Path, broker: ChildBroker, ingester: TestIngester) -> None:
        self.path, self._socket = folder / "gateway.toml", folder / "data" / "control.sock"
        self.ingester, self.broker_port = ingester, broker.port

    def toml(self, port: int, *units: int, broker_port: int = 0, more: str = "") -> str:
        """A whole file."""
        uplink = uplink_toml(broker_port or self.broker_port)
        uplink += f"remote_config = true\nconfirm_s = {CONFIRM_S}\n"
        return HEAD + line(port, *units) + ALARMS + uplink + more

    def status(self) -> dict[str, Any]:
        """What the agent says of itself; empty without one."""
        try:
            return msgspec.convert(ask(self._socket, "status"), dict[str, Any])
        except ControlError:
            return {}

    def devices(self) -> list[str]:
        """Ids of the devices that are configured."""
        return [d["id"] for d in self.status().get("devices", ())]

    def send(self, version: int, toml: str, *, key: bytes = b"gw-1-key", **other: Any) -> str:
        """Send a version down; its command's id."""
        now = time.time_ns()
        args = {"version": version, "toml": toml} if toml else {"version": version}
        kind = "config.apply" if toml else "config.withdraw"
        fields = {"id": f"C{now}", "kind": kind, "args": args, **other}
        command = Command(
            v=1, site="plant", gateway="gw-1", actor="duty", issued_ns=now,
            expires_ns=now + 60_000_000_000, **fields,
        )  # fmt: skip
        self.ingester.command(sign(command, key), "config")
        return command.id

    def outcome(self, command: str, kind: str) -> Event:
        """The event of this kind about a command, once it is here."""

        def found() -> list[Event]:
            return [e for e in told(self.ingester, kind) if e.data.get("id") == command]

        wait_until_sync(found, what=f"{kind}: {self.status()}")
        return found()[0]


@pytest.fixture
def port() -> Iterator[int]:
    """A line of two heads."""
    with ExitStack() as stack:
        yield port_of(start_line(stack, 2))


@pytest.fixture
def site(tmp_path: Path, mosquitto: ChildBroker) -> Iterator[Site]:
    """A cloud that hears the gateway to come."""
    with TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    ) as ingester:
        yield Site(tmp_path, mosquitto, ingester)


def started(site: Site, edge: Process) -> Process:
    """Wait for it."""
    wait_until_sync(lambda: site.status().get("connected"), what=f"{edge.stderr}")
    return edge


def test_a_version_is_tried_confirmed_and_survives_a_kill(
    site: Site, start_edge: Start, port: int
) -> None:
    own = site.toml(port, 1)
    edge = started(site, start_edge(own))
    first = site.send(1, site.toml(port, 1, 2))
    applied = site.outcome(first, "config.applied")
    assert (applied.data["version"], applied.data["actor"]) == (1, "duty")
    assert "devices: added gas-02" in applied.text
    assert site.devices() == ["gas-01", "gas-02"]
    site.outcome(first, "config.confirmed")
    wait_until_sync(
        lambda: msgspec.json.decode(site.ingester.health[-1], type=Health).config_version == 1
    )
    assert site.path.read_text("utf-8") == own, "the gateway's own file is never written"

    # replayed under another id, older, with another key, for a key that stays at the gateway, wrong
    again = site.send(1, site.toml(port, 2))
    assert site.outcome(again, "command.refused").data["reason"] == "old-version"
    forged = site.send(2, site.toml(port, 2), key=b"another")
    assert site.outcome(forged, "command.refused").data["reason"] == "bad-signature"
    key = site.send(2, site.toml(port, 2).replace("gw-1-key", "x"))
    (problem,) = site.outcome(key, "config.refused").data["problems"]
    assert problem["key"] == "commands.key"
    bad = site.toml(port, 1, 2).replace("unit_id = 2", "unit_id = 2000")
    (problem,) = site.outcome(site.send(2, bad), "config.refused").data["problems"]
    assert problem["line"] == 1 + bad.splitlines().index("unit_id = 2000")
    elsewhere = site.send(2, site.toml(port, 2), kind="alarm.reset")
    assert site.outcome(elsewhere, "command.refused").data["reason"] == "unknown-kind"
    assert site.devices() == ["gas-01", "gas-02"]

    edge.kill9()
    edge = started(site, start_edge(own))
    assert site.devices() == ["gas-01", "gas-02"]
    assert (site.status()["remote"]["version"], site.status()["left_out"]) == (1, [])

    # the gateway's own file, once it is changed, wins; until then a reload keeps what the cloud sent
    ask(site.path.parent / "data" / "control.sock", "reload")
    assert site.devices() == ["gas-01", "gas-02"]
    site.path.write_text(site.toml(port, 2), "utf-8")
    ask(site.path.parent / "data" / "control.sock", "reload")
    assert site.devices() == ["gas-02"]
    site.outcome(first, "config.superseded")
    assert site.status()["remote"] == {"seen": 1}

    second = site.send(2, site.toml(port, 1))
    site.outcome(second, "config.applied")
    site.outcome(site.send(3, ""), "config.withdrawn")
    assert site.devices() == ["gas-02"]
    assert edge.terminate() == 0


@pytest.mark.parametrize("loss", ["no-broker", "no-commit-acks"])
def test_a_version_after_which_the_cloud_is_gone_is_rolled_back(
    site: Site, start_edge: Start, port: int, loss: str
) -> None:
    edge = started(site, start_edge(site.toml(port, 1)))
    dead = free_port() if loss == "no-broker" else 0
    site.ingester.acking = loss == "no-broker"
    sent = site.send(7, site.toml(port, 1, 2, broker_port=dead))
    wait_until_sync(lambda: site.devices() == ["gas-01", "gas-02"], what=f"{edge.stderr}")
    wait_until_sync(lambda: site.devices() == ["gas-01"], what=f"the roll-back: {edge.stderr}")
    site.ingester.acking = True
    rolled = site.outcome(sent, "config.rolled-back")
    assert (rolled.data["version"], rolled.data["to"]) == (7, 0)
    wait_until_sync(lambda: site.status()["connected"])
    assert site.status()["remote"] == {"seen": 7}
    again = site.send(7, site.toml(port, 1, 2))
    assert site.outcome(again, "command.refused").data["reason"] == "old-version"
    assert edge.terminate() == 0
    summary = msgspec.json.decode(edge.stdout[-1])
    assert (summary["uncommitted_readings"], summary["pending_rows"]) == (0, 0)


def test_a_version_that_the_agent_does_not_survive_is_rolled_back_after_three_starts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + line(1, 1), "utf-8")
    sources = Sources(path, tmp_path / "data")
    sources.store.keep(1, HEAD + line(1, 7))
    sources.store.save(RemoteState(1, 1, "trial", sources.base(), "C1"))
    for _ in range(3):
        sources, loaded = Sources.at_start(path)
        assert [d.id for d in survey(loaded).devices] == ["gas-07"]
        assert sources.stories == []
    sources, loaded = Sources.at_start(path)
    assert [d.id for d in survey(loaded).devices] == ["gas-01"]
    (story,) = sources.stories
    assert (story.kind, story.data["id"]) == ("config.rolled-back", "C1")
    assert sources.store.state == RemoteState(seen=1)
    assert not sources.store.file(1).exists()


def test_a_version_that_cannot_be_read_any_more_leaves_the_one_before_in_force(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + line(1, 1), "utf-8")
    sources = Sources(path, tmp_path / "data")
    base = sources.base()
    sources.store.keep(1, HEAD + line(1, 7))
    sources.store.keep(2, HEAD + line(1, 8).replace("four-gas-head", "gone"))
    sources.store.save(RemoteState(2, 2, "trial", base, "C2", previous=1, previous_base=base))
    sources, loaded = Sources.at_start(path)
    assert [d.id for d in survey(loaded).devices] == ["gas-07"]
    assert [(s.kind, s.data["to"]) for s in sources.stories] == [("config.rolled-back", 1)]
    (tmp_path / "data" / "remote" / "state.json").write_text("{", "utf-8")
    sources, loaded = Sources.at_start(path)
    assert [d.id for d in survey(loaded).devices] == ["gas-01"]
    assert (tmp_path / "data" / "remote" / "state.unreadable").exists()


def test_a_gateway_that_was_not_told_to_takes_no_configuration(
    site: Site, start_edge: Start, port: int
) -> None:
    toml = site.toml(port, 1).replace("remote_config = true\n", "")
    edge = started(site, start_edge(toml))
    refused = site.outcome(site.send(1, site.toml(port, 2)), "command.refused")
    assert "commands.remote_config" in refused.text
    assert site.devices() == ["gas-01"]
    assert edge.terminate() == 0
