"""Disk, clock, files, ports and packages, as they are when something is wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

import tocsin
from edge.doctor import clock, disk, installation, ports, secrets
from edge.doctor.examination import examine
from edge.doctor.findings import Finding
from edge.timekeeper import Discipline
from tests.own_mounts import OWN_MOUNTS
from tocsin.config import TlsOptions
from tocsin.sdk import DriverConfig, Endpoint, SystemClock
from tocsin.testing import free_port

MB = 1 << 20


def _states(found: list[Finding]) -> list[tuple[str, str]]:
    return [(f.check, f.state) for f in found]


def _failures(found: list[Finding]) -> list[Finding]:
    assert all(f.fix for f in found if f.state != "ok")
    return [f for f in found if f.state == "fail"]


def test_a_good_disk_is_ok_and_no_trace_is_left(tmp_path: Path) -> None:
    found = list(disk.look(tmp_path, MB, agent_runs=False))
    assert _failures(found) == []
    assert list(tmp_path.iterdir()) == []


FULL = """
import json, subprocess, sys
from pathlib import Path
from edge.doctor import disk
from tocsin.cli.output import to_json
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
with (place / "filler").open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
print(to_json(list(disk.look(place, 1 << 20, agent_runs=False))))
"""


def test_a_full_disk_fails_with_the_command_that_finds_what_fills_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*OWN_MOUNTS, sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    found = json.loads(done.stdout)
    failed = [f for f in found if f["state"] == "fail"]
    assert len(failed) == 2
    assert "0 MB free" in failed[0]["text"]
    assert "No space left" in failed[1]["text"]
    assert all("du -xh" in f["fix"] for f in failed)
    assert any("in memory (tmpfs)" in f["text"] for f in found)


READ_ONLY = """
import subprocess, sys
from pathlib import Path
from edge.doctor import disk
from tocsin.cli.output import to_json
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)], check=True)
print(to_json(list(disk.look(place, 1 << 20, agent_runs=False))))
"""


def test_a_disk_that_is_mounted_read_only_is_told_as_such(tmp_path: Path) -> None:
    done = subprocess.run(
        [*OWN_MOUNTS, sys.executable, "-c", READ_ONLY, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    (found,) = json.loads(done.stdout)
    assert (found["state"], "remount,rw" in found["fix"]) == ("fail", True)


def test_a_damaged_outbox_is_named(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "outbox.db").write_bytes(b"SQLite format 3\x00" + bytes(4000))
    found = list(disk.look(tmp_path, MB, agent_runs=False))
    assert [f.check for f in _failures(found)] == ["outbox"]
    assert "damaged" in _failures(found)[0].text


def _clock(now_ns: int, last_ns: int = 0, found: Discipline | None = None) -> list[Finding]:
    return list(clock.look(now_ns, last_ns, lambda: found, Path("/dev/null")))


def test_a_clock_that_was_never_set_fails() -> None:
    failed = _failures(_clock(1_000_000_000, found=Discipline(synchronised=False)))
    assert "never set" in failed[0].text
    assert "timedatectl" in failed[0].fix


def test_a_clock_behind_the_last_reading_fails(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    with sqlite3.connect(tmp_path / "outbox" / "outbox.db") as base:
        base.execute("CREATE TABLE stream (wall_ns INTEGER)")
        base.execute("INSERT INTO stream VALUES (?)", (tocsin.EARLIEST_NS + 3_600_000_000_000,))
    base.close()
    last_ns = disk.last_wall_ns(tmp_path)
    failed = _failures(_clock(tocsin.EARLIEST_NS, last_ns, Discipline(synchronised=True)))
    assert "3600 s before the last reading" in failed[0].text


def test_a_right_clock_is_ok_and_a_free_running_one_is_warned_of() -> None:
    right = _clock(tocsin.EARLIEST_NS, 0, Discipline(synchronised=True, error_ms=3))
    assert _states(right) == [("clock", "ok"), ("clock", "ok")]
    free = _clock(tocsin.EARLIEST_NS, 0, Discipline(synchronised=False))
    assert _states(free) == [("clock", "ok"), ("clock", "warn")]


def test_files_with_secrets_that_others_may_read_are_named(tmp_path: Path) -> None:
    config, word, key = tmp_path / "gateway.toml", tmp_path / "word", tmp_path / "key.pem"
    config.write_text('[uplink]\npassword = "${file:word}"\n')
    for file in (word, key):
        file.write_text("x")
        file.chmod(0o644)
    config.chmod(0o644)
    tls = TlsOptions(cert=key, key=key)
    found = list(secrets.look(config, tls))
    assert [f.fix for f in found] == [f"chmod 600 {word}", f"chmod 600 {key}"]
    config.write_text('[uplink]\npassword = "inline"\n')
    assert [f.fix for f in secrets.look(config, None)] == [f"chmod 600 {config}"]
    config.chmod(0o600)
    assert _states(list(secrets.look(config, None))) == [("secrets", "ok")]


class _Opens(DriverConfig):
    kind: Literal["serial", "file", "connect", "listen"]
    address: str

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (Endpoint(self.kind, self.address),)


def _port(kind: str, address: str) -> list[Finding]:
    driver = {"type": "t", "name": "d", "kind": kind, "address": address}
    return list(ports.look([_Opens.model_validate(driver)], agent_runs=False))


def test_serial_ports_are_looked_at_one_by_one(tmp_path: Path) -> None:
    assert "not there" in _failures(_port("serial", "/dev/ttyNONE0"))[0].text
    (tmp_path / "file").touch()
    assert "no serial port" in _failures(_port("serial", str(tmp_path / "file")))[0].text
    ours, theirs = pty.openpty()
    try:
        name = os.ttyname(theirs)
        assert _states(_port("serial", name)) == [("driver d", "ok")]
        import serial

        with serial.Serial(name, exclusive=True):
            assert "another program" in _failures(_port("serial", name))[0].text
    finally:
        os.close(ours)
        os.close(theirs)


def test_connections_and_listeners_are_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        assert _states(_port("connect", taken)) == [("driver d", "ok")]
        assert "in use" in _failures(_port("listen", taken))[0].text
    assert "refused" in _failures(_port("connect", f"127.0.0.1:{free_port()}"))[0].text
    assert _states(_port("listen", f"127.0.0.1:{free_port()}")) == [("driver d", "ok")]
    assert "not there" in _failures(_port("file", str(tmp_path / "no.csv")))[0].text


def test_a_model_that_is_not_the_one_its_card_names_fails(tmp_path: Path) -> None:
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "smoke.onnx").write_bytes(b"weights")
    card = tmp_path / "smoke" / "model.toml"
    card.write_text(f'sha256 = "{hashlib.sha256(b"weights").hexdigest()}"\n')
    assert [f.state for f in installation.look(tmp_path) if f.check == "model smoke"] == ["ok"]
    (tmp_path / "smoke" / "smoke.onnx").write_bytes(b"others")
    found = [f for f in installation.look(tmp_path) if f.check == "model smoke"]
    assert [f.state for f in found] == ["fail"]


def test_two_builds_of_opencv_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("opencv_python", "opencv_python_headless"):
        info = tmp_path / f"{name}-4.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 4.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [f.check for f in _failures(list(installation.look(tmp_path)))] == ["packages"]


def test_a_model_of_ones_own_that_a_camera_names_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "people.onnx").write_bytes(b"weights")
    card = tmp_path / "people" / "model.toml"
    config = tmp_path / "gateway.toml"
    cameras = "".join(
        f'[[drivers.devices]]\nid = "cam-{i}"\nsource = "pictures/"\nmodel = "./{name}"\n'
        for i, name in enumerate(["people", "people", "nothing"])
    )
    config.write_text(
        'schema = 1\n[gateway]\nid = "gw-1"\nsite = "east"\ndata_dir = "data"\n'
        f'[[drivers]]\ntype = "camera"\nname = "ridge"\n{cameras}'
    )
    for written, state in ((b"weights", "ok"), (b"others", "fail")):
        card.write_text(f'file = "people.onnx"\nsha256 = "{hashlib.sha256(written).hexdigest()}"\n')
        found = [(f.check, f.state) for f in examine(config, SystemClock())]
        assert [f for f in found if f[0] in ("model people", "model nothing")] == [
            ("model nothing", "fail"), ("model people", state),
        ]  # fmt: skip
