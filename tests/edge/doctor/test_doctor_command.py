"""`tocsin doctor`, as a process, without and with a running agent, and its archive."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from tocsin.broker import Account
from tocsin.testing import free_port, run_process, wait_until_sync
from tocsin.testing.brokers import throwaway_broker

PROGRAM = [sys.executable, "-c", "from tocsin.cli import main; main()"]
PASSWORD, KEY, WORD = "s3cret-password", "s3cret-command-key", "s3cret-word"


def _doctor(config: Path, *args: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [*PROGRAM, "doctor", "-c", str(config), "--json", *args],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def _config(folder: Path, port: int) -> Path:
    (folder / "word").write_text(PASSWORD)
    (folder / "word").chmod(0o600)
    path = folder / "gateway.toml"
    path.write_text(f"""schema = 1
[gateway]
id = "gw-1"
site = "east"
data_dir = "data"
[uplink]
host = "127.0.0.1"
port = {port}
password = "${{file:word}}"
[commands]
key = "{KEY}"
[[drivers]]
type = "jt808"
name = "vehicles"
listen = "127.0.0.1:0"
auth_secret = "{WORD}"
[[drivers.devices]]
id = "truck-1"
phone = "13800138000"
""")
    path.chmod(0o600)
    return path


def test_a_healthy_gateway_is_said_to_be_so_and_its_archive_holds_no_secret(tmp_path: Path) -> None:
    with throwaway_broker("mosquitto", accounts=[Account("gw-1", PASSWORD)]) as broker:
        config = _config(tmp_path, broker.port)
        with run_process([*PROGRAM, "edge", "run", "-c", str(config)]):
            wait_until_sync(lambda: (tmp_path / "data" / "control.sock").exists(), 60.0)
            status, report = _doctor(config, "--bundle", str(tmp_path / "b.tar.gz"))
    assert (status, report["ok"]) == (0, True), report
    said = {f["check"]: f["state"] for f in report["findings"]}
    assert (said["config"], said["agent"], said["broker"]) == ("ok", "ok", "ok")
    texts: dict[str, str] = {}
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            texts[Path(member.name).name] = file.read().decode()
    assert {"doctor.json", "config.json", "status.json", "packages.txt"} <= set(texts)
    assert json.loads(texts["config.json"])["uplink"]["password"] == "***"
    for secret in (PASSWORD, KEY, WORD):
        assert secret not in "".join(texts.values())
    again = subprocess.run(
        [*PROGRAM, "doctor", "-c", str(config), "--bundle", str(tmp_path / "b.tar.gz")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "there already" in again.stderr


def test_a_broken_gateway_fails_with_9_and_says_what_mends_it(tmp_path: Path) -> None:
    config = _config(tmp_path, 1)
    status, report = _doctor(config)
    assert (status, report["ok"]) == (9, False)
    failed = [f for f in report["findings"] if f["state"] == "fail"]
    assert [f["check"] for f in failed] == ["broker"]
    config.write_text(config.read_text().replace("phone =", "phon ="))
    status, report = _doctor(config)
    failed = [f for f in report["findings"] if f["state"] == "fail"]
    assert status == 9
    assert {f["check"] for f in failed} == {"config"}
    assert any("did you mean 'phone'" in f["text"] for f in failed)
    assert all("tocsin check" in f["fix"] for f in failed)


def test_a_device_that_shows_no_frames_is_to_be_tested_and_any_other_to_be_traced(
    tmp_path: Path,
) -> None:
    line = [sys.executable, "-m", "firmware_bridges.modbus.device", "--tcp", "127.0.0.1:0"]
    head = ["--unit", "unit=1,device=gas-01,model=gas-head,profile=four-gas-head"]
    config = tmp_path / "gateway.toml"
    with run_process([*line, *head]) as devices:
        port = json.loads(devices.wait_line('"ready":true'))["port"].rpartition(":")[2]
        config.write_text(f"""schema = 1
[gateway]
id = "gw-1"
site = "east"
data_dir = "data"
[[drivers]]
type = "modbus"
name = "heads"
timeout_s = 0.2
retries = 0
tcp = {{ host = "127.0.0.1", port = {port} }}
devices = [{{ id = "gas-02", unit_id = 2, profile = "four-gas-head", period_s = 0.2 }}]
[[drivers]]
type = "camera"
name = "ridge"
devices = [{{ id = "cam-01", source = "http://127.0.0.1:{free_port()}/still.jpg" }}]
""")
        with run_process([*PROGRAM, "edge", "run", "-c", str(config)]):
            wait_until_sync(lambda: len(_lost(config)) == 2)
            lost = _lost(config)
    assert [(name, fix) for name, fix in lost.items()] == [
        ("gas-02", "tocsin trace gas-02"), ("cam-01", "tocsin test cam-01"),
    ]  # fmt: skip


def _lost(config: Path) -> dict[str, str]:
    """What is to be done about each device that does not answer."""
    _, report = _doctor(config)
    return {f["text"].split()[0]: f["fix"] for f in report["findings"] if f["check"] == "device"}


def test_people_read_one_line_and_the_command_that_mends_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "doctor", "-c", str(_config(tmp_path, 1))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("FAIL  broker"))
    assert lines[at + 1].split()[0] == ">"
    assert lines[-1].endswith("1 to mend")
