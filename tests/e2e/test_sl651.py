"""A hydrology station from its own port to the cloud's store, with known frames verbatim and the gateway killed on the way."""

from __future__ import annotations

import json
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from firmware_bridges.sl651.samples import standard
from tocsin.lab.demo import Demo
from tocsin.lab.judge import read_store
from tocsin.lab.ledger import Scan
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, wait_until_sync

RIVER = "river-01"
ANSWERED = ("30", "31", "32", "33", "34", "35")


class WithStation(Site, frozen=True):
    """One virtual station and the port it connects to, and the stations of the known frames."""

    port: int = 0
    stations: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device(RIVER, "water", 0.5, "VS-1", ""),)

    def processes(self, folder: Path) -> dict[str, list[str]]:
        return {
            RIVER: [
                "firmware_bridges.sl651.device", "--device", RIVER, "--connect", f"127.0.0.1:{self.port}",
                "--station", "00aabbccdd", "--period", "0.5", "--retry", "0.3", "--answer-timeout", "1",
                "--hourly-every", "1000", "--clock-error", "-86400",
                "--ledger", str(folder / f"{RIVER}.ndjson"), "--stdin-lease",
            ]
        }  # fmt: skip

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        others = "".join(
            f'[[drivers.devices]]\nid = "known-{address}"\nstation = "{address}"\n'
            for address in self.stations
        )
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "sl651"
name = "hydrology"
listen = "{ports[RIVER]}"
max_past_s = 1e9
[[drivers.devices]]
id = "{RIVER}"
station = "00aabbccdd"
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
    return {e["of_ns"] for e in _ledger(path) if e.get("mark") == "answered"}


def _known(shared_data: Path) -> list[dict[str, Any]]:
    """Good reports of live stations and of the standard's annex that end before the clock of this machine."""
    file = json.loads((shared_data / "protocols" / "sl651.json").read_text("utf-8"))
    return [
        v
        for v in file["vectors"]
        if v["frame_ok"]
        and v["expected"]["direction"] == "up"
        and v["expected"]["function"] in ANSWERED
        and v["expected"]["obs_time"] < "2026-08"
    ]


def _send(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(data)
        return link.recv(4096)


def test_every_answered_report_is_in_the_store_once(tmp_path: Path, shared_data: Path) -> None:
    known = _known(shared_data)
    stations = tuple(sorted({v["expected"]["station"] for v in known}))
    site = WithStation(port=free_port(), stations=stations)
    ledger = tmp_path / f"{RIVER}.ndjson"
    with Demo(tmp_path, site, broker="mosquitto") as run:
        run.start(lambda _part: None)
        wait_until_sync(lambda: len(_answered(ledger)) >= 5, 60.0)
        for vector in known:
            data = bytes.fromhex(vector["hex"])
            answer = _send(site.port, data)
            assert answer[:2] == b"\x7e\x7e"
            assert answer[2:7].hex() == vector["expected"]["station"]
        run.edge.process.kill()
        run.edge.process.wait()
        before = len(_ledger(ledger))
        wait_until_sync(lambda: len(_ledger(ledger)) >= before + 5, 60.0)
        run.start_edge()
        seen = len(_answered(ledger))
        wait_until_sync(lambda: len(_answered(ledger)) >= seen + 8, 90.0)
        run.stop()
    everything = read_store(tmp_path / "cloud", ["water"])
    stored = [row for row in everything if row.device == RIVER]
    _same_reports(known, [row for row in everything if row.device != RIVER])
    rows = {row.t_ns: row.values for row in stored}
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    assert _answered(ledger) <= set(rows)
    for t_ns, values in rows.items():
        minute = (
            t_ns // 10**9 * 10**9
        )  # one that was kept but not answered before the kill comes twice
        for name, value in told[minute].items():
            assert values[name] == (pytest.approx(value) if isinstance(value, float) else value)
    assert len(rows) - len(rows.keys() & told.keys()) <= 1


def _same_reports(known: list[dict[str, Any]], stored: list[Scan]) -> None:
    always, _ = standard()
    rows = {(row.device, row.t_ns): row.values for row in stored}
    assert len(known) > 8
    wanted = 0
    for vector in known:
        expected = vector["expected"]
        at = int(datetime.fromisoformat(expected["obs_time"] + "+08:00").timestamp()) * 10**9
        row = rows[f"known-{expected['station']}", at]
        for one in expected["elements"]:
            if "value" in one and one["id"] in always:
                assert row[always[one["id"]].quantity] == one["value"], vector["id"]
                wanted += 1
            elif "value" in one:
                assert f"{one['id']}={one['value']}" in str(row["extras"]).split()
    assert wanted > 50
