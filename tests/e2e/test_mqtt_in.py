"""From a field broker to the cloud's store, with the gateway killed on the way."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.control.client import ask
from tocsin.errors import ControlError
from tocsin.lab.demo import Demo
from tocsin.lab.judge import read_store
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import throwaway_broker, wait_until_sync
from tocsin.testing.mqtt_field import FIELD
from tocsin.testing.peer import Peer

T0_MS = 1_764_000_000_000


class WithFieldBroker(Site, frozen=True):
    """A gateway whose devices publish to a broker of their own; no device is a process."""

    port: int = 0
    models: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device("d1", "weather", 1.0, "", ""),)

    def processes(self, folder: Path) -> dict[str, list[str]]:
        return {}

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        lorawan = "".join(
            f'[[drivers.devices]]\nid = "{m.lower()}"\nmeasurement = "weather"\npayload = "decentlab"\n'
            f'model = "{m}"\nvalues = [{{ from = "Battery voltage", quantity = "voltage", unit = "V" }}]\n'
            for m in self.models
        )
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "mqtt_in"
name = "field"
host = "127.0.0.1"
port = {self.port}
client_id = "tocsin-e2e"
username = "{FIELD.user}"
password = "{FIELD.password}"
max_past_s = 1e9
subscriptions = [
  {{ topic = "s/{{device}}", format = "json", time_path = "ts" }},
  {{ topic = "application/+/device/+/event/up", format = "chirpstack" }},
]
[[drivers.devices]]
id = "d1"
measurement = "weather"
values = [{{ from = "t", quantity = "temperature", unit = "Cel" }}]
"""
            + lorawan,
            "utf-8",
        )
        return path


def _event(model: str, hex_: str, count: int) -> bytes:
    info = {"devEui": model}
    data = base64.b64encode(bytes.fromhex(hex_)).decode()
    at = "2025-11-24T16:00:00Z"
    return json.dumps({"deviceInfo": info, "data": data, "fCnt": count, "time": at}).encode()


def _values(folder: Path) -> dict[str, Any]:
    with suppress(ControlError):
        told = ask(folder / "edge" / "control.sock", "values")
        assert isinstance(told, list)
        return {v["device"]: v["value"] for v in told}
    return {}


def _first_is_kept(folder: Path, peer: Peer) -> bool:
    """The subscription stands; until then the message is sent again, and stored once."""
    peer.publish("s/d1", b'{"ts": %d, "t": 0}' % T0_MS)
    return _values(folder).get("d1") == 0


def _last(folder: Path) -> float:
    return float(_values(folder).get("d1", -1))


def test_every_message_of_the_field_broker_is_in_the_store_once(
    tmp_path: Path, shared_data: Path
) -> None:
    text = (shared_data / "protocols" / "lorawan_decentlab.json").read_text("utf-8")
    vectors: list[dict[str, Any]] = json.loads(text)["vectors"]
    with throwaway_broker("mosquitto", accounts=[FIELD]) as field:
        site = WithFieldBroker(port=field.port, models=tuple(v["device"] for v in vectors))
        with (
            Demo(tmp_path, site, broker="mosquitto") as run,
            Peer(field.port, FIELD.user, FIELD.password) as peer,
        ):
            run.start(lambda _part: None)
            wait_until_sync(lambda: _first_is_kept(tmp_path, peer), 60.0)
            for n, vector in enumerate(vectors):
                topic = f"application/1/device/{vector['device']}/event/up"
                peer.publish(topic, _event(vector["device"], vector["hex"], n))
            for n in range(1, 300):
                peer.publish("s/d1", b'{"ts": %d, "t": %d}' % (T0_MS + n, n))
            run.edge.process.kill()
            run.edge.process.wait()
            for n in range(300, 400):
                peer.publish("s/d1", b'{"ts": %d, "t": %d}' % (T0_MS + n, n))
            run.start_edge()
            wait_until_sync(lambda: _last(tmp_path) >= 399, 90.0)
            run.stop()
    stored = read_store(tmp_path / "cloud", ["weather"])
    times = sorted(row.t_ns for row in stored if row.device == "d1")
    assert times == [(T0_MS + n) * 10**6 for n in range(400)]
    assert {row.t_ns: row.values["temperature"] for row in stored if row.device == "d1"} == {
        (T0_MS + n) * 10**6: n for n in range(400)
    }
    volts = {row.device: row.values["voltage"] for row in stored if row.device != "d1"}
    assert volts == {
        v["device"].lower(): pytest.approx(v["expected"]["Battery voltage"]["value"])
        for v in vectors
    }
