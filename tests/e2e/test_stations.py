"""Stations of SL 651 and HJ 212 from their own ports to the cloud's store, known frames verbatim, the gateway killed on the way."""

from __future__ import annotations

import json
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from firmware_bridges.hj212 import samples as hj212
from firmware_bridges.hj212.frames import encode_frame
from firmware_bridges.sl651.samples import standard
from tocsin.lab.children import tocsin_command
from tocsin.lab.demo import Demo
from tocsin.lab.judge import iso_to_ns, read_store
from tocsin.lab.ledger import Scan
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, wait_until_sync

RIVER, AIR = "river-01", "air-01"
MN = "010000A8900016F000169DC0"
ANSWERED = ("30", "31", "32", "33", "34", "35")


class WithStations(Site, frozen=True):
    """A virtual station of each kind and the ports they connect to, and the stations of the known frames."""

    river_port: int = 0
    air_port: int = 0
    stations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device(RIVER, "water", 0.5, "VS-1", ""), Device(AIR, "air", 0.5, "VS-2", ""))

    def processes(self, folder: Path) -> dict[str, list[str]]:
        common = [
            "--period",
            "0.5",
            "--retry",
            "0.3",
            "--answer-timeout",
            "1",
            "--clock-error",
            "-86400",
            "--stdin-lease",
        ]
        river = [
            "firmware_bridges.sl651.device",
            "--connect",
            f"127.0.0.1:{self.river_port}",
            "--station",
            "00aabbccdd",
        ]
        air = [
            "firmware_bridges.hj212.device",
            "--connect",
            f"127.0.0.1:{self.air_port}",
            "--mn",
            MN,
        ]
        return {
            RIVER: [*river, "--hourly-every", "1000", "--device", RIVER, "--ledger", str(folder / f"{RIVER}.ndjson"), *common],
            AIR: [*air, "--device", AIR, "--ledger", str(folder / f"{AIR}.ndjson"), *common],
        }  # fmt: skip

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        head = gateway_head(broker_port)
        path.write_text(
            head
            + f'[[drivers]]\ntype = "sl651"\nname = "hydrology"\nlisten = "{ports[RIVER]}"\nmax_past_s = 1e9\n'
            + f'[[drivers.devices]]\nid = "{RIVER}"\nstation = "00aabbccdd"\n'
            + "".join(
                f'[[drivers.devices]]\nid = "known-{s}"\nstation = "{s}"\n' for s in self.stations
            )
            + f'[[drivers]]\ntype = "hj212"\nname = "air"\nlisten = "{ports[AIR]}"\nmax_past_s = 1e9\n'
            + f'[[drivers.devices]]\nid = "{AIR}"\nmn = "{MN}"\n'
            + "".join(
                f'[[drivers.devices]]\nid = "known-{i}"\nmn = "{mn}"\ncrc = "any"\n'
                for i, mn in enumerate(self.names)
            ),
            "utf-8",
        )
        return path


def _ledger(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def _answered(path: Path) -> set[int]:
    return {e["of_ns"] for e in _ledger(path) if e.get("mark") == "answered"}


def _vectors(shared_data: Path, protocol: str) -> list[dict[str, Any]]:
    file = json.loads((shared_data / "protocols" / f"{protocol}.json").read_text("utf-8"))
    found: list[dict[str, Any]] = file["vectors"]
    return found


def _known_reports(shared_data: Path) -> list[dict[str, Any]]:
    """Good reports of live stations and of the standard's annex that end before the clock of this machine."""
    return [
        v
        for v in _vectors(shared_data, "sl651")
        if v["frame_ok"]
        and v["expected"]["direction"] == "up"
        and v["expected"]["function"] in ANSWERED
        and v["expected"]["obs_time"] < "2026-08"
    ]


def _known_messages(shared_data: Path) -> list[dict[str, Any]]:
    """Whole messages with values; those with a vendor's CRC too."""
    return [
        v
        for v in _vectors(shared_data, "hj212")
        if "DataTime" in v["expected"]["cp_fields"] and "PNUM" not in v["expected"]["head"]
    ]


def _send(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(data)
        return link.recv(4096)


def test_every_answered_report_is_in_the_store_once(tmp_path: Path, shared_data: Path) -> None:
    reports, messages = _known_reports(shared_data), _known_messages(shared_data)
    site = WithStations(
        river_port=free_port(),
        air_port=free_port(),
        stations=tuple(sorted({v["expected"]["station"] for v in reports})),
        names=tuple(sorted({v["expected"]["head"]["MN"] for v in messages})),
    )
    ledgers = [tmp_path / f"{RIVER}.ndjson", tmp_path / f"{AIR}.ndjson"]

    def progress(n: int, before: tuple[int, ...] = (0, 0)) -> None:
        wait_until_sync(
            lambda: all(len(_answered(p)) >= b + n for p, b in zip(ledgers, before, strict=True)),
            90.0,
        )

    with Demo(tmp_path, site, broker="mosquitto") as run:
        run.start(lambda _part: None)
        progress(5)
        for vector in reports:
            answer = _send(site.river_port, bytes.fromhex(vector["hex"]))
            assert answer[2:7].hex() == vector["expected"]["station"]
        for vector in messages:  # none of them wants an answer: a request for one follows
            ask = b"QN=1;ST=91;CN=1013;PW=;MN=%s;Flag=5;CP=&&&&"
            ask %= vector["expected"]["head"]["MN"].encode()
            assert b"CN=9013" in _send(site.air_port, vector["frame"].encode() + encode_frame(ask))
        run.edge.process.kill()
        run.edge.process.wait()
        before = [len(_ledger(p)) for p in ledgers]
        wait_until_sync(
            lambda: all(len(_ledger(p)) > b + 5 for p, b in zip(ledgers, before, strict=True)), 60.0
        )
        run.start_edge()
        progress(8, tuple(len(_answered(p)) for p in ledgers))
        run.stop()
    water = read_store(tmp_path / "cloud", ["water"])
    air = _air(tmp_path / "cloud")
    _same_reports(reports, [row for row in water if row.device != RIVER])
    _same_messages(site, messages, [row for row in air if row.device != AIR])
    _same_as_told(ledgers[0], [row for row in water if row.device == RIVER])
    _same_as_told(ledgers[1], [row for row in air if row.device == AIR])


def _air(data: Path) -> list[Scan]:
    """Every row with all its columns: averages are no quantities of the catalogue."""
    sql = "SELECT * FROM air ORDER BY device, time"
    arguments = ("--format", "json", "--max-rows", "100000", "--data", str(data))
    rows: list[dict[str, Any]] = json.loads(tocsin_command("query", sql, *arguments))
    return [
        Scan(row["device"], iso_to_ns(row["time"]), {k: v for k, v in row.items() if v is not None})
        for row in rows
    ]


def _same_as_told(ledger: Path, stored: list[Scan]) -> None:
    rows = {row.t_ns: row.values for row in stored}
    assert len(rows) == len(stored)
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    assert _answered(ledger) <= set(rows)
    for t_ns, values in rows.items():
        whole = (
            t_ns // 10**9 * 10**9
        )  # one that was kept but not answered before the kill comes twice
        for name, value in told[whole].items():
            assert values[name] == (pytest.approx(value) if isinstance(value, float) else value)
    assert len(rows.keys() - told.keys()) <= 1


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


def _same_messages(site: WithStations, known: list[dict[str, Any]], stored: list[Scan]) -> None:
    factors = hj212.standard()["air"]
    rows = {(row.device, row.t_ns): row.values for row in stored}
    suffix = {"Rtd": "", "Avg": "_avg", "Min": "_min", "Max": "_max"}
    wanted = 0
    for vector in known:
        expected = vector["expected"]
        device = f"known-{site.names.index(expected['head']['MN'])}"
        for code, parts in expected["factors"].items():
            told = parts.get("SampleTime", expected["cp_fields"]["DataTime"])
            at = datetime.fromisoformat(f"{told[:8]}T{told[8:]}+08:00")
            row = rows[device, int(at.timestamp()) * 10**9]
            for part in parts.keys() & suffix.keys():
                if code in factors:
                    assert row[factors[code].quantity + suffix[part]] == float(parts[part])
                else:
                    assert f"{code}-{part}={parts[part]}" in str(row["extras"]).split()
                wanted += 1
    assert wanted > 25
