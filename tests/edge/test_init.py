"""`tocsin init`: what it writes is right, and nothing that is there is touched."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edge.init import driver_block
from tests.edge.app.conftest import TOCSIN
from tocsin.cli.configs import load_any
from tocsin.cli.data import data_dir
from tocsin.cli.root import dispatch
from tocsin.sdk.driver import driver_names

SHAPES = {
    "serial": "/dev/serial/by-id/usb-A_B-if00",
    "network": "10.1.2.3:4567",
}
NO_PORT = {"generate", "lock"}  # made up; in the air


def _init(folder: Path, *more: str) -> int:
    return dispatch(["init", "--id", "gw-1", "--site", "plant", "--dir", str(folder), *more])


@pytest.mark.parametrize("driver", sorted(set(driver_names()) - NO_PORT))
def test_every_driver_can_be_the_first_one(
    driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = []
    for shape, port in SHAPES.items():
        code = _init(tmp_path / shape, "--driver", driver, "--port", port)
        assert code in (0, 2)
        if code == 0:
            text = (tmp_path / shape / "gateway.toml").read_text("utf-8")
            assert "change-me-" not in text
            tables = tomllib.loads(text)["drivers"]
            assert [table["type"] for table in tables] == [driver]
            assert port in text or port.partition(":")[0] in text
            for name in re.findall(r"\$\{env:(\w+)\}", text):
                monkeypatch.setenv(name, "set-later")
            assert load_any(tmp_path / shape / "gateway.toml")[0] == "gateway"
            fitting.append(shape)
    assert fitting


@pytest.mark.parametrize(
    ("driver", "port", "line"),
    [
        ("modbus", "/dev/ttyS1", 'rtu = { port = "/dev/ttyS1", baudrate = 9600 }'),
        ("modbus", "10.0.0.9:1502", 'tcp = { host = "10.0.0.9", port = 1502 }'),
        ("modbus", "10.0.0.9", 'tcp = { host = "10.0.0.9", port = 502 }'),
        ("opcua", "opc.tcp://plc:4841/x", 'url = "opc.tcp://plc:4841/x"'),
        ("opcua", "plc:4841", 'url = "opc.tcp://plc:4841"'),
        ("mqtt_in", "broker:1999", 'host = "broker"\nport = 1999'),
        ("onvif", "192.168.1.9", 'host = "192.168.1.9"'),
        ("replay", "level.csv", 'file = "level.csv"'),
    ],
)
def test_an_address_of_any_shape_gets_its_place(driver: str, port: str, line: str) -> None:
    assert f"\n{line}\n" in driver_block(driver, port)


def test_without_a_driver_or_broker_the_file_still_passes_the_check(tmp_path: Path) -> None:
    assert _init(tmp_path) == 0
    assert dispatch(["check", str(tmp_path / "gateway.toml")]) == 0


@pytest.mark.parametrize("word", ["none", "-"])
def test_none_is_no_broker_and_no_driver(word: str, tmp_path: Path) -> None:
    assert _init(tmp_path, "--broker", word, "--driver", word) == 0
    tables = tomllib.loads((tmp_path / "gateway.toml").read_text("utf-8"))
    assert not tables.keys() & {"uplink", "drivers"}


@pytest.mark.parametrize(
    ("broker", "port", "tls"),
    [("localhost", 1883, False), ("127.0.0.1:1999", 1999, False), ("cloud", 8883, True)],
)
def test_beyond_this_machine_the_broker_is_spoken_to_by_tls(
    broker: str, port: int, tls: bool, tmp_path: Path
) -> None:
    assert _init(tmp_path, "--broker", broker) == 0
    uplink = tomllib.loads((tmp_path / "gateway.toml").read_text("utf-8"))["uplink"]
    assert (uplink["port"], "tls" in uplink) == (port, tls)


def test_what_is_commented_out_can_be_taken_in(tmp_path: Path) -> None:
    assert (
        _init(tmp_path, "--broker", "cloud:8883", "--driver", "modbus", "--port", SHAPES["serial"])
        == 0
    )
    text = (tmp_path / "gateway.toml").read_text("utf-8")
    for name in ("broker-password", "broker-ca.pem", "command-key"):
        (tmp_path / name).write_text("secret\n", "utf-8")
    assert tomllib.loads(text)["uplink"] == {"host": "cloud", "port": 8883, "tls": {}}
    known = (
        "[",
        "password",
        "ca ",
        "key",
        "device",
        "quantity",
        "level",
        "name",
        "path",
        "on ",
        "off",
    )
    lines = [
        line[2:] if line.startswith("# ") and line[2:].startswith(known) else line
        for line in text.replace("/etc/tocsin", str(tmp_path)).splitlines()
    ]
    full = tmp_path / "full.toml"
    full.write_text("\n".join(lines), "utf-8")
    raw = tomllib.loads(full.read_text("utf-8"))
    assert {"commands", "alarms", "outputs", "uplink"} <= set(raw)
    load_any(full)


@pytest.mark.parametrize("name", ["gateway.toml", "tocsin-edge.service"])
def test_nothing_is_overwritten(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine", "utf-8")
    assert _init(tmp_path) == 2
    assert f"{tmp_path / name} is there already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--id and --site must be given"),
        (["--id", "a"], "--site must be given"),
        (["--id", "a", "--site", "b", "--driver", "nmea"], "--port must be given"),
        (["--id", "A b", "--site", "b"], "--id 'A b'"),
        (["--id", "a", "--site", "b", "--broker", "x:y"], "host or host:port"),
        (
            ["--id", "a", "--site", "b", "--driver", "nmae", "--port", "/dev/x"],
            "did you mean 'nmea'?",
        ),
        (["--id", "a", "--site", "b", "--driver", "jt808", "--port", "/dev/x"], "has no place for"),
    ],
)
def test_wrong_flags_write_nothing(
    args: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["init", "--json", "--dir", str(tmp_path), *args]) in (2, 4)
    error = json.loads(capsys.readouterr().out)["error"]
    assert said in f"{error['message']} {error['hint']}"
    assert list(tmp_path.iterdir()) == []


def test_at_a_terminal_it_asks_five_questions_and_asks_again_after_a_wrong_answer(
    tmp_path: Path,
) -> None:
    ours, theirs = pty.openpty()
    answers = ["gw-roof", "Not A Name", "plant-1", "broker.example.org", "nmea", "/dev/ttyS9"]
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    try:
        done = subprocess.run(
            [*TOCSIN, "init", "--dir", str(tmp_path)],
            stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert [f"{n}/5" in done.stderr for n in range(1, 6)] == [True] * 5
    assert done.stderr.count("2/5") == 2
    raw = tomllib.loads((tmp_path / "gateway.toml").read_text("utf-8"))
    assert (raw["gateway"]["id"], raw["gateway"]["site"]) == ("gw-roof", "plant-1")
    assert raw["uplink"]["host"] == "broker.example.org"
    assert raw["drivers"][0]["port"] == "/dev/ttyS9"


def test_the_unit_is_the_shipped_one_with_this_installations_paths(tmp_path: Path) -> None:
    assert _init(tmp_path, "--data-dir", str(tmp_path / "data")) == 0
    shipped = (data_dir("configs") / "systemd/tocsin-edge.service").read_text("utf-8").splitlines()
    made = (tmp_path / "tocsin-edge.service").read_text("utf-8").splitlines()
    assert set(shipped) - set(made) == {
        "ExecStart=/opt/tocsin/bin/tocsin edge run -c /etc/tocsin/gateway.toml"
    }
    added = set(made) - set(shipped)
    assert f"ReadWritePaths={tmp_path / 'data'}" in added
    assert any(line.endswith(f"edge run -c {tmp_path / 'gateway.toml'}") for line in added)
    assert len(added) == 2


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    assert _init(tmp_path) == 0
    program = shutil.which("systemd-analyze")
    if program is None:
        lines = (tmp_path / "tocsin-edge.service").read_text("utf-8").splitlines()
        assert {"Type=notify", "WatchdogSec=30", "Restart=always"} <= set(lines)
        return
    cloud = (data_dir("configs") / "systemd/tocsin-cloud.service").read_text("utf-8")
    other = tmp_path / "tocsin-cloud.service"
    other.write_text(cloud.replace("/opt/tocsin/bin/tocsin", sys.executable), "utf-8")
    for unit in (tmp_path / "tocsin-edge.service", other):
        done = subprocess.run(
            [program, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
