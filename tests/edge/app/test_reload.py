"""A new configuration for a running agent: what stays does not notice, and nothing is lost."""

from __future__ import annotations

import os
import signal
import socket as socket_module
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.control.client import ask
from tests.edge.app.conftest import Start, port_of, start_line, uplink_toml
from tocsin.broker import ChildBroker
from tocsin.cli.root import dispatch
from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.messages import Event
from tocsin.errors import ConfigError, ControlError
from tocsin.testing import INGESTER, free_port, wait_until_sync
from tocsin.testing.ingester import TestIngester

HEAD = """schema = 1
[gateway]
id = "gw-1"
site = "plant"
data_dir = "data"
"""
ALARMS = """
[[alarms]]
device = "gas-*"
quantity = "h2s"
level1 = 4
hysteresis = 0.5
[[outputs]]
name = "siren"
path = "siren"
"""


def line(port: int, *units: int, name: str = "heads", period_s: float = 0.1, **own: float) -> str:
    """One driver; `own` gives single devices another period."""
    toml = f'[[drivers]]\ntype = "modbus"\nname = "{name}"\ntimeout_s = 0.5\n'
    toml += f'backoff_max_s = 0.5\ntcp = {{ host = "127.0.0.1", port = {port} }}\n'
    for unit in units:
        toml += (
            f'[[drivers.devices]]\nid = "gas-{unit:02}"\nunit_id = {unit}\n'
            f'profile = "four-gas-head"\nperiod_s = {own.get(f"gas{unit}", period_s)}\n'
        )
    return toml


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a line of four heads; a release at the second one."""
    with ExitStack() as stack:
        yield port_of(start_line(stack, 4, releasing=2))


def told(ingester: TestIngester, kind: str) -> list[Event]:
    """Events of one kind, without resends."""
    found = [decode_body(decode_header(p), p, Event) for _, p in ingester.received("event")]
    return [e for e in {e.seq: e for e in found}.values() if e.kind == kind]


def section(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """One part of a reload's answer."""
    (part,) = [p for p in answer["sections"] if p["section"] == name]
    return dict(part)


def test_only_what_differs_is_touched_and_the_sequence_runs_on(
    tmp_path: Path,
    mosquitto: ChildBroker,
    start_edge: Start,
    port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, socket = tmp_path / "gateway.toml", tmp_path / "data" / "control.sock"
    rest = ALARMS + uplink_toml(mosquitto.port)

    def status() -> dict[str, Any]:
        try:
            return msgspec.convert(ask(socket, "status"), dict[str, Any])
        except ControlError:
            return {}

    def device(name: str) -> dict[str, Any]:
        return next((d for d in status().get("devices", ()) if d["id"] == name), {})

    def reads_on(name: str) -> None:
        before = device(name).get("reads", 0)
        wait_until_sync(lambda: device(name).get("reads", 0) > before + 3, what=name)

    def reload(toml: str) -> tuple[int, dict[str, Any]]:
        path.write_text(toml, "utf-8")
        capsys.readouterr()
        code = dispatch(["edge", "reload", "-c", str(path), "--json"])
        return code, msgspec.json.decode(capsys.readouterr().out)

    with TestIngester(
        mosquitto.port, INGESTER.user, INGESTER.password, site="plant", gateway="gw-1"
    ) as ingester:
        edge = start_edge(HEAD + line(port, 1, 2) + rest)
        wait_until_sync(lambda: status().get("alarms") == 1, what=f"an alarm: {edge.stderr}")
        wait_until_sync(lambda: ingester.received("telemetry"))
        stream = decode_header(ingester.received("telemetry")[0][1]).stream
        boot = status()["boot"]
        (alarm,) = msgspec.convert(ask(socket, "alarms"), list[dict[str, Any]])
        reads = device("gas-01")["reads"]

        # a device is changed, one is added: the line itself goes on
        code, answer = reload(HEAD + line(port, 1, 2, 3, gas2=0.05) + rest)
        assert code == 0
        devices = section(answer, "devices")
        assert (devices["added"], devices["changed"], devices["kept"]) == (
            ["gas-03"],
            ["gas-02"],
            1,
        )
        assert section(answer, "alarms")["added"] == ["gas-03 h2s-high"]
        assert (answer["restarted"], answer["uplink_reconnected"]) == ([], False)
        reads_on("gas-03")
        assert device("gas-01")["reads"] > reads
        assert device("gas-02")["period_s"] == 0.05
        (again,) = msgspec.convert(ask(socket, "alarms"), list[dict[str, Any]])
        assert (again["alarm"], again["raised_ns"]) == (alarm["alarm"], alarm["raised_ns"])

        # a whole driver comes, the limit moves, the siren leaves; by SIGHUP
        toml = HEAD + line(port, 1, 2, 3, gas2=0.05) + line(port, 4, name="more")
        toml += rest.replace("level1 = 4", "level1 = 4.5").replace('"siren"', '"horn"')
        path.write_text(toml, "utf-8")
        os.kill(edge.pid, signal.SIGHUP)
        reads_on("gas-04")
        assert [o["name"] for o in status()["outputs"]] == ["horn"]
        assert (tmp_path / "siren").read_text("utf-8") == "off\n"
        assert (tmp_path / "horn").read_text("utf-8") == "on\n"
        assert status()["alarms"] == 1

        # another time-out: this one driver is run anew; a device leaves
        code, answer = reload(
            toml.replace("timeout_s = 0.5", "timeout_s = 0.4", 1).replace(
                "level1 = 4.5", "level1 = 4"
            )
        )
        assert (code, answer["restarted"]) == (0, ["heads"])
        reads_on("gas-01")
        code, answer = reload(HEAD + line(port, 1, 3, gas2=0.05) + rest)
        assert section(answer, "devices")["removed"] == ["gas-02", "gas-04"]
        assert answer["alarms_without_rule"] == ["gas-02 h2s-high"]
        reads_on("gas-01")
        wait_until_sync(lambda: len(told(ingester, "device.removed")) == 2)
        wait_until_sync(lambda: len(told(ingester, "config.reloaded")) == 4)
        announced = [e.device for e in told(ingester, "device.announced")]
        assert announced[2:] == ["gas-02", "gas-03", "gas-04"]

        assert status()["boot"] == boot
        assert status()["counters"]["uplink.connects"] == 1
        assert "driver_restarts" not in status()["counters"]
        assert not told(ingester, "device.unavailable")
        assert edge.terminate() == 0
        summary = msgspec.json.decode(edge.stdout[-1])
        assert (summary["uncommitted_readings"], summary["pending_rows"]) == (0, 0)
        sent = {decode_header(p).stream for _, p in ingester.received("telemetry")}
        assert sent == {stream}, "one stream, before and after"
        for have in ingester.ledger.values():
            assert have.contiguous_from(0) == have.count, "a gap"


def test_a_file_with_mistakes_is_refused_with_all_of_them_and_the_old_one_runs_on(
    tmp_path: Path, start_edge: Start, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path, socket = tmp_path / "gateway.toml", tmp_path / "data" / "control.sock"
    good = HEAD + line(port, 1) + ALARMS
    edge = start_edge(good)
    wait_until_sync(answering(socket), what=f"the agent: {edge.stderr}")

    bad = good.replace("period_s = 0.1", "period_s = 0").replace("level1 = 4", 'level1 = "x"')
    path.write_text(bad, "utf-8")
    assert dispatch(["edge", "reload", "-c", str(path), "--json"]) == 3
    error = msgspec.json.decode(capsys.readouterr().out)["error"]
    assert {p["line"] for p in error["problems"]} == {
        1 + bad.splitlines().index("period_s = 0"),
        1 + bad.splitlines().index('level1 = "x"'),
    }
    path.write_text(good.replace('id = "gw-1"', 'id = "gw-2"'), "utf-8")
    with pytest.raises(ConfigError, match=r"gateway\.id.*cannot change while the agent runs"):
        ask(socket, "reload")
    path.write_text(good + "[outbox]\nmax_bytes = 5000000\n", "utf-8")
    answer = msgspec.convert(ask(socket, "reload"), dict[str, Any])
    assert answer["at_restart"] == ["outbox.max_bytes"]
    status = msgspec.convert(ask(socket, "status"), dict[str, Any])
    assert [d["id"] for d in status["devices"]] == ["gas-01"]
    assert status["at_restart"] == ["outbox.max_bytes"]
    assert dispatch(["edge", "status", "-c", str(path)]) == 0
    assert "outbox.max_bytes counts only when the agent is started again" in capsys.readouterr().err


def test_a_port_that_goes_to_another_driver_is_free_when_that_one_begins(
    tmp_path: Path, start_edge: Start
) -> None:
    path, socket = tmp_path / "gateway.toml", tmp_path / "data" / "control.sock"
    toml = (
        HEAD
        + f"""[[drivers]]
type = "jt808"
name = "vehicles"
listen = "127.0.0.1:{free_port()}"
auth_secret = "a secret of this test"
devices = [{{ id = "truck-1", phone = "13800138000" }}]
"""
    )
    edge = start_edge(toml)
    wait_until_sync(answering(socket), what=f"the agent: {edge.stderr}")
    path.write_text(toml.replace('"vehicles"', '"fleet"'), "utf-8")
    answer = msgspec.convert(ask(socket, "reload"), dict[str, Any])
    drivers = section(answer, "drivers")
    assert (drivers["added"], drivers["removed"]) == (["fleet"], ["vehicles"])

    def driver() -> dict[str, Any]:
        status = msgspec.convert(ask(socket, "status"), dict[str, Any])
        assert "driver_errors" not in status["counters"]
        return dict(status["drivers"][0])

    wait_until_sync(lambda: driver()["state"] == "running")
    port = int(toml.partition("127.0.0.1:")[2].partition('"')[0])
    wait_until_sync(lambda: driver() and listens(port), what=f"{edge.stderr}")
    assert edge.terminate() == 0
    assert "cannot listen" not in "\n".join(edge.stderr)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket_module.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answering(socket: Path) -> Callable[[], bool]:
    """Whether an agent answers."""

    def check() -> bool:
        try:
            ask(socket, "counters")
        except ControlError:
            return False
        return True

    return check
