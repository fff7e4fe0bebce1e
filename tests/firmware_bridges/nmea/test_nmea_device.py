"""The virtual receiver as a process: what leaves its port is what its ledger holds."""

from __future__ import annotations

import json
import math
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from firmware_bridges.nmea.epoch import EpochMerger, Fix
from firmware_bridges.nmea.route import Loop
from tocsin.testing import Process, run_process, wait_until_sync


@contextmanager
def _device(*arguments: str) -> Iterator[tuple[Process, dict[str, Any]]]:
    with run_process([sys.executable, "-m", "firmware_bridges.nmea.device", *arguments]) as process:
        yield process, json.loads(process.wait_line('"ready"'))


def _entries(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def _fixes(data: bytes) -> list[Fix]:
    merger = EpochMerger()
    made = [merger.feed(line, 0) for line in data.split(b"\n")]
    return [fix for fix in (*made, merger.flush()) if fix is not None]


def test_everything_sent_over_tcp_is_in_the_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.ndjson"
    arguments = ("--tcp", "127.0.0.1:0", "--hz", "20", "--ledger", str(ledger), "--stdin-lease")
    with _device(*arguments, "--device", "pump-1") as (process, ready):
        host, port = ready["port"].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.settimeout(30)
            data = b""
            while data.count(b"VTG") < 6:
                data += client.recv(4096)
            process.terminate()
            while chunk := client.recv(4096):
                data += chunk
        entries = _entries(ledger)
    fixes = _fixes(data)
    assert [e["t_ns"] for e in entries] == [f.time_ns for f in fixes]
    assert [(e["values"]["lat"], e["values"]["lon"]) for e in entries] == [
        (f.lat, f.lon) for f in fixes
    ]
    assert {e["device"] for e in entries} == {"pump-1"}


def test_it_is_silent_and_writes_nothing_while_nobody_listens(tmp_path: Path) -> None:
    ledger, link = tmp_path / "ledger.ndjson", tmp_path / "by-id" / "gps"
    arguments = ("--pty", "--link", str(link), "--hz", "20", "--ledger", str(ledger))
    with _device(*arguments) as (process, ready):
        assert ready["port"] == str(link)
        assert _entries(ledger) == []
        with link.open("rb", buffering=0) as port:
            data = b""
            while data.count(b"VTG") < 3:
                data += port.read(4096)
        wait_until_sync(lambda: len(_entries(ledger)) >= 3)
        fixes = _fixes(data)
        assert [f.time_ns for f in fixes][:3] == [e["t_ns"] for e in _entries(ledger)][:3]
        assert process.terminate() == 0
    assert not link.is_symlink()


def test_it_ends_when_its_lease_ends() -> None:
    with _device("--tcp", "127.0.0.1:0", "--stdin-lease") as (process, _):
        assert process.terminate() == 0


def test_the_loop_is_closed_and_drivable() -> None:
    loop = Loop()
    assert 2_000 < loop.length_m < 10_000
    places = [loop.at(t) for t in range(600)]
    for a, b in pairwise(places):
        north = (b.lat - a.lat) * 111_195
        east = (b.lon - a.lon) * 111_195 * math.cos(math.radians(a.lat))
        assert math.hypot(north, east) <= 14.1
        assert 5.9 <= b.speed <= 14.1
        assert 0 <= b.course < 360
