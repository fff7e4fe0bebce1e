"""A fire transmitter, an electricity meter and a receiver behind a real gpsd, from their own ports to the cloud's store."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from firmware_bridges.dlt645.frames import Frame as MeterFrame
from firmware_bridges.dlt645.splitter import Splitter as MeterSplitter
from firmware_bridges.gb26875.frames import Command, Frame, decode_frame, encode_frame
from tocsin.lab.demo import Demo
from tocsin.lab.judge import read_store
from tocsin.lab.ledger import Scan
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, run_process, wait_until_sync

MALL, METER, BOAT = "mall-01", "pump-house", "boat-01"
OTHER = "010000000000"
NAMES = {
    "energy": "00010000",
    "voltage": "02010100",
    "current": "02020100",
    "frequency": "02800002",
}


class City(Site, frozen=True):
    """What connects, what is read, what is watched; `known` is a line of the example file's meters."""

    fire_port: int = 0
    gpsd_port: int = 0
    known: str = ""
    known_meters: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device(MALL, "fire", 1.0, "", ""), Device(METER, "power", 1.0, "", ""), Device(BOAT, "vehicle", 1.0, "", ""))  # fmt: skip

    def processes(self, folder: Path) -> dict[str, list[str]]:
        return {
            MALL: [
                "firmware_bridges.gb26875.device", "--device", MALL, "--connect", f"127.0.0.1:{self.fire_port}",
                "--period", "0.5", "--heartbeat", "1", "--retry", "0.3", "--answer-timeout", "2", "--fire-after", "1",
                "--fire-for", "1", "--ledger", str(folder / f"{MALL}.ndjson"), "--stdin-lease",
            ],
            METER: [
                "firmware_bridges.dlt645.device", "--meter", f"42:{METER}", "--link", str(folder / METER),
                "--ledger", str(folder / f"{METER}.ndjson"), "--stdin-lease",
            ],
        }  # fmt: skip

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        meters = "".join(
            f'[[drivers.devices]]\nid = "known-{a}"\naddress = "{a}"\nprofile = "none"\nread = {{ energy = "00010000" }}\n'
            for a in self.known_meters
        )
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "gb26875"
name = "fire"
listen = "{ports[MALL]}"
max_past_s = 1e9
[[drivers.devices]]
id = "{MALL}"
address = "672b00000000"
[[drivers.devices]]
id = "known"
address = "{OTHER}"
[[drivers]]
type = "dlt645"
name = "meters"
port = "{ports[METER]}"
[[drivers.devices]]
id = "{METER}"
address = "42"
period_s = 1.0
[[drivers]]
type = "dlt645"
name = "known-meters"
connect = "{self.known}"
{meters}
[[drivers]]
type = "gpsd"
name = "gps"
device = "{BOAT}"
connect = "127.0.0.1:{self.gpsd_port}"
[[alarms]]
device = "{MALL}"
quantity = "fire"
level1 = 0.5
level2 = 1
""",
            "utf-8",
        )
        return path


def _ledger(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def _confirmed(path: Path) -> set[int]:
    return {e["of_ns"] for e in _ledger(path) if e.get("mark") == "confirmed"}


def _calm_again(ledger: Path) -> bool:
    """Whether the transmitter's own word after the reset is confirmed."""
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    reset_ns = [t for t, values in told.items() if values.get("operation") == "reset"]
    own = [t for t, values in told.items() if reset_ns and t > reset_ns[0] and not values["part"]]
    return bool(_confirmed(ledger) & set(own))


def _vectors(shared_data: Path, name: str) -> list[dict[str, Any]]:
    file = json.loads((shared_data / "protocols" / f"{name}.json").read_text("utf-8"))
    found: list[dict[str, Any]] = file["vectors"]
    return found


def _send_known(port: int, vectors: list[dict[str, Any]]) -> None:
    """The example file's application data verbatim, each in a frame of a transmitter of its own address."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        for serial, vector in enumerate(vectors):
            app, head = bytes.fromhex(vector["hex"]), (bytes(6), bytes.fromhex(OTHER), bytes(6))
            link.sendall(encode_frame(Frame(serial, (1, 1), *head, Command.DATA, app)))
            answer = decode_frame(link.recv(4096))
            assert (answer.command, answer.serial) == (Command.CONFIRM, serial)


@contextlib.contextmanager
def _known_meters(answers: dict[str, bytes]) -> Iterator[str]:
    """A line whose meters answer with the example file's very bytes."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = server.accept()
                with link:
                    splitter = MeterSplitter()
                    while data := link.recv(4096):
                        for item in splitter.feed(data):
                            if isinstance(item, MeterFrame) and item.address in answers:
                                link.sendall(answers[item.address])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextlib.contextmanager
def _boat(folder: Path) -> Iterator[int]:
    """The virtual receiver, read by a real gpsd; gpsd's port."""
    program = shutil.which("gpsd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert program is not None, "apt-get install gpsd"
    argv = [
        sys.executable,
        "-m",
        "firmware_bridges.nmea.device",
        "--device",
        BOAT,
        "--tcp",
        "127.0.0.1:0",
    ]
    with run_process([*argv, "--ledger", str(folder / f"{BOAT}.ndjson")]) as receiver:
        source = json.loads(receiver.wait_line('"ready"'))["port"]
        port = free_port()
        with run_process([program, "-N", "-n", "-b", "-S", str(port), f"tcp://{source}"]):
            yield port


def test_what_they_told_is_in_the_store_and_fire_is_an_alarm(
    tmp_path: Path, shared_data: Path
) -> None:
    known = [v for v in _vectors(shared_data, "gb26875") if v["kind"] == "app_data"]
    answers = {
        v["expected"]["address"]: v
        for v in _vectors(shared_data, "dlt645")
        if v["frame_ok"] and v["expected"].get("di") == "00010000" and v["expected"]["from_slave"]
    }
    ledger = tmp_path / f"{MALL}.ndjson"
    with (
        _known_meters({a: bytes.fromhex(v["hex"]) for a, v in answers.items()}) as line,
        _boat(tmp_path) as gpsd_port,
    ):
        site = City(
            fire_port=free_port(), gpsd_port=gpsd_port, known=line, known_meters=tuple(answers)
        )
        with Demo(tmp_path, site, broker="mosquitto") as run:
            run.start(lambda _part: None)
            wait_until_sync(lambda: bool(_confirmed(ledger)), 60.0)
            _send_known(site.fire_port, known)
            wait_until_sync(lambda: _calm_again(ledger), 60.0)
            wait_until_sync(lambda: len(_ledger(tmp_path / f"{METER}.ndjson")) >= 4 * 7, 60.0)
            run.stop()
    rows = read_store(tmp_path / "cloud", ["fire", "power", "vehicle"])
    _check_fire(ledger, [row for row in rows if row.device == MALL])
    _check_known(known, [row for row in rows if row.device == "known"])
    stored = {row.device: row.values["energy"] for row in rows if row.device.startswith("known-")}
    assert stored == {f"known-{a}": v["expected"]["value"] for a, v in answers.items()}
    _check_meter(tmp_path / f"{METER}.ndjson", [row for row in rows if row.device == METER])
    _check_boat(tmp_path / f"{BOAT}.ndjson", [row for row in rows if row.device == BOAT])
    with sqlite3.connect(tmp_path / "cloud" / "state.db") as state:
        raised = state.execute(
            "SELECT quantity, max_level, beyond FROM alarms WHERE device = ?", (MALL,)
        ).fetchall()
    state.close()
    assert raised == [("fire", 2, 0)]


def _check_fire(ledger: Path, stored: list[Scan]) -> None:
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    rows = {row.t_ns: row.values for row in stored}
    assert len(rows) == len(stored)
    assert _confirmed(ledger) <= set(rows) <= set(told)
    for t_ns, values in rows.items():
        for name, value in told[t_ns].items():
            if value is not None and not isinstance(value, bool):
                assert values[name] == (pytest.approx(value) if isinstance(value, float) else value)
    fires = [values["fire"] for _, values in sorted(rows.items()) if "fire" in values]
    assert fires[0] is True
    assert fires[-1] is False
    assert any(values.get("main_power_fault") is False for values in rows.values())


def _check_known(known: list[dict[str, Any]], stored: list[Scan]) -> None:
    objects = [one for v in known for one in v["expected"]["objects"]]
    assert len(stored) == len(objects)
    for one in objects:
        if "time" not in one or set(one) == {"time"}:
            continue
        second = int(datetime.fromisoformat(f"{one['time']}+08:00").timestamp())
        here = [row.values for row in stored if row.t_ns // 10**9 == second]
        status = one.get("status", one.get("uitd_status"))
        assert any(values.get("status") == status for values in here)
        if "description" in one:
            assert any(values.get("description") == one["description"] for values in here)
    assert {"version 3.4", "config 这是一个转码测试"} <= {row.values.get("info") for row in stored}


def _check_meter(ledger: Path, stored: list[Scan]) -> None:
    told: dict[str, set[float]] = {}
    for entry in _ledger(ledger):
        for di, value in entry.get("values", {}).items():
            told.setdefault(di, set()).add(value)
    assert len(stored) >= 3
    for row in stored:
        assert all(row.values[name] in told[di] for name, di in NAMES.items())


def _check_boat(ledger: Path, stored: list[Scan]) -> None:
    told = [e["values"] for e in _ledger(ledger) if "values" in e]
    fixes = [row.values for row in stored if row.values.get("fix") == 3]
    assert len(fixes) >= 3
    for values in fixes:
        nearest = min(
            told, key=lambda v: abs(v["lat"] - values["lat"]) + abs(v["lon"] - values["lon"])
        )
        for name in ("lat", "lon"):
            assert values[name] == pytest.approx(nearest[name], abs=2e-6)
