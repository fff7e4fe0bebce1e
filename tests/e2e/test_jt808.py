"""A vehicle terminal from its own port to the cloud's store, with the gateway killed on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.lab.demo import Demo
from tocsin.lab.judge import read_store
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, wait_until_sync

TRUCK = "truck-11"


class WithTerminal(Site, frozen=True):
    """One virtual terminal and the port it connects to."""

    port: int = 0

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
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "jt808"
name = "vehicles"
listen = "{ports[TRUCK]}"
auth_secret = "a secret of this test"
[[drivers.devices]]
id = "{TRUCK}"
phone = "13800138000"
""",
            "utf-8",
        )
        return path


def _ledger(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def _answered(path: Path) -> set[int]:
    return {t for e in _ledger(path) if e.get("mark") == "answered" for t in e["of_ns"]}


def test_every_answered_position_is_in_the_store_once(tmp_path: Path) -> None:
    site = WithTerminal(port=free_port())
    ledger = tmp_path / f"{TRUCK}.ndjson"
    with Demo(tmp_path, site, broker="mosquitto") as run:
        run.start(lambda _part: None)
        wait_until_sync(lambda: len(_answered(ledger)) >= 10, 60.0)
        run.edge.process.kill()
        run.edge.process.wait()
        before = len(_ledger(ledger))
        wait_until_sync(lambda: len(_ledger(ledger)) >= before + 10, 60.0)
        run.start_edge()
        seen = len(_answered(ledger))
        wait_until_sync(lambda: len(_answered(ledger)) >= seen + 15, 90.0)
        run.stop()
    stored = read_store(tmp_path / "cloud", ["vehicle"])
    rows = {row.t_ns: row.values for row in stored}
    assert len(rows) == len(stored)
    told = {e["t_ns"]: e["values"] for e in _ledger(ledger) if "values" in e}
    assert _answered(ledger) <= set(rows) <= set(told)
    for t_ns, values in rows.items():
        for name, value in told[t_ns].items():
            assert values[name] == (pytest.approx(value) if isinstance(value, float) else value)
