"""Gateway and cloud as `tocsin provision` sets them up, over mutual TLS through a mosquitto of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cloud.provision.conftest import Site, provisioned
from tocsin.testing import run_process, wait_until_sync

PROGRAM = [sys.executable, "-c", "from tocsin.cli import main; main()"]


def _gateway_toml(site: Site, folder: Path) -> Path:
    path = site.place("gw-a") / "gateway.toml"
    text = path.read_text().replace("/var/lib/tocsin/edge", str(folder / "edge"))
    text = text.replace("[commands]", "resend_after_s = 1\n[commands]")
    path.write_text(
        text
        + f"""
[[drivers]]
type = "replay"
name = "river"
device = "river-01"
measurement = "water"
file = "{folder / "river.csv"}"
format = "csv"
stamp = "now"
speed = 1000
[drivers.csv]
time_columns = ["time"]
columns = [{{ column = "level", quantity = "level", unit = "m" }}]
"""
    )
    return path


def _cloud_toml(site: Site, folder: Path) -> Path:
    path = site.folder.path / "cloud" / "cloud.toml"
    block = (site.place("gw-a") / "cloud-block.toml").read_text()
    text = path.read_text().replace("/var/lib/tocsin/cloud", str(folder / "cloud"))
    path.write_text(text + "[http]\nport = 0\n" + block)
    return path


def _stored(folder: Path) -> list[dict[str, object]]:
    sql = "SELECT device, count(level) AS n FROM water GROUP BY device"
    done = subprocess.run(
        [*PROGRAM, "query", sql, "--data", str(folder / "cloud"), "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    rows: list[dict[str, object]] = json.loads(done.stdout) if done.returncode == 0 else []
    return rows


def test_readings_reach_the_store_over_mutual_tls(tmp_path: Path) -> None:
    lines = [f"2026-01-01T00:00:{i:02d}Z,{i / 10}" for i in range(50)]
    (tmp_path / "river.csv").write_text("\n".join(["time,level", *lines]) + "\n")
    site = provisioned(tmp_path)
    cloud, gateway = _cloud_toml(site, tmp_path), _gateway_toml(site, tmp_path)
    with (
        site.broker(),
        run_process([*PROGRAM, "cloud", "run", "-c", str(cloud)]),
        run_process([*PROGRAM, "edge", "run", "-c", str(gateway)]),
    ):
        wait_until_sync(lambda: _stored(tmp_path) == [{"device": "river-01", "n": 50}], 90.0)
