"""A vehicle terminal from its own port to the cloud's store, with the gateway killed on the way."""

from __future__ import annotations

import json
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tocsin.lab.demo import Demo
from tocsin.lab.judge import read_store
from tocsin.lab.ledger import Scan
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, wait_until_sync

TRUCK = "truck-11"


class WithTerminal(Site, frozen=True):
    """One virtual terminal and the port it connects to."""

    port: int = 0
    phones: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device(TRUCK, "vehicle", 0.5, "VT-1", ""),)

    def processes(self, folder: Path) -> dict[str, list[str]]:
        return {
            TRUCK: [
                "firmware_bridges.jt808.device", "--device", TRUCK, "--connect", f"127.0.0.1:{self.port}",
                "--edition", "2019", "--period", "0.5", "--retry", "0.3", "--answer-timeout", "1",
                "--ledger", str(folder / f"{TRUCK}.ndjson"), "--stdin-lease",
            ]
        }  # fmt: skip

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        others = "".join(
            f'[[drivers.devices]]\nid = "known-{phone}"\nphone = "{phone}"\n'
            for phone in self.phones
        )
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "jt808"
name = "vehicles"
listen = "{ports[TRUCK]}"
auth_secret = "a secret of this test"
require_auth = false
max_past_s = 1e9
[[drivers.devices]]
id = "{TRUCK}"
phone = "13800138000"
"""
            + others,
            "utf-8",
        )
        return path


def _ledger(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def _answered(path: Path) -> set[int]:
    return {t for e in _ledger(path) if e.get("mark") == "answered" for t in e["of_ns"]}


def _known(shared_data: Path) -> list[dict[str, Any]]:
    """Good single positions of other projects' suites, old enough for any clock, each of a terminal of its own."""
    file = json.loads((shared_data / "protocols" / "jt808.json").read_text("utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for vector in file["vectors"]:
        expected = vector["expected"]
        place = expected.get("location")
        if vector["frame_ok"] and place and place["time"] < "2025" and abs(place["lat"]) <= 90:
            found.setdefault(expected["terminal_phone"].lstrip("0"), vector)
    return list(found.values())


def _send(port: int, vector: dict[str, Any]) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(bytes.fromhex(vector["hex"]) + b"\x7e")
        return link.recv(4096)


def test_every_answered_position_is_in_the_store_once(tmp_path: Path, shared_data: Path) -> None:
    known = _known(shared_data)
    phones = tuple(v["expected"]["terminal_phone"] for v in known)
    site = WithTerminal(port=free_port(), phones=phones)
    ledger = tmp_path / f"{TRUCK}.ndjson"
    with Demo(tmp_path, site, broker="mosquitto") as run:
        run.start(lambda _part: None)
        wait_until_sync(lambda: len(_answered(ledger)) >= 10, 60.0)
        for vector in known:
            assert b"\x80\x01" in _send(site.port, vector)
        run.edge.process.kill()
        run.edge.process.wait()
        before = len(_ledger(ledger))
        wait_until_sync(lambda: len(_ledger(ledger)) >= before + 10, 60.0)
        run.start_edge()
        seen = len(_answered(ledger))
        wait_until_sync(lambda: len(_answered(ledger)) >= seen + 15, 90.0)
        run.stop()
    everything = read_store(tmp_path / "cloud", ["vehicle"])
    stored = [row for row in everything if row.device == TRUCK]
    assert _same_places(known, [row for row in everything if row.device != TRUCK])
    rows = {row.t_ns: row.values for row in stored}
    assert len(rows) == len(stored)
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    assert _answered(ledger) <= set(rows) <= set(told)
    for t_ns, values in rows.items():
        for name, value in told[t_ns].items():
            assert values[name] == (pytest.approx(value) if isinstance(value, float) else value)


def _same_places(known: list[dict[str, Any]], stored: list[Scan]) -> bool:
    rows = {row.device: row for row in stored}
    assert len(rows) == len(stored) == len(known) > 10
    for vector in known:
        place = vector["expected"]["location"]
        row = rows[f"known-{vector['expected']['terminal_phone']}"]
        assert row.t_ns == int(datetime.fromisoformat(place["time"]).timestamp()) * 10**9
        where = (place["lat"], place["lon"]) if place["fix_valid"] else (None, None)
        assert (row.values.get("lat"), row.values.get("lon")) == where
        assert row.values["alarms"] == place["alarm_flags"]
        told = [item["odometer_km"] for item in place["extras"] if "odometer_km" in item]
        assert row.values.get("odometer") == (told[0] if told else None)
    return True
