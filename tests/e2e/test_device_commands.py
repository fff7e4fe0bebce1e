"""A relay and a vehicle told something from the cloud's own command line and API, through broker, gateway and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tocsin.cli.root import dispatch
from tocsin.lab.demo import Demo
from tocsin.lab.site import Device, Site, gateway_head
from tocsin.testing import free_port, wait_until_sync

RELAYS, TRUCK = "sirens-01", "truck-11"


class WithActuators(Site, frozen=True):
    """A relay module on a serial line and a vehicle terminal."""

    port: int = 0

    @property
    def devices(self) -> tuple[Device, ...]:
        return (
            Device(RELAYS, "machine", 0.5, "relay-8", ""),
            Device(TRUCK, "vehicle", 0.5, "VT-1", ""),
        )

    def processes(self, folder: Path) -> dict[str, list[str]]:
        return {
            RELAYS: [
                "firmware_bridges.modbus.device", "--link", str(folder / "rs485"), "--stdin-lease",
                "--unit", f"unit=1,device={RELAYS},model=actuator,profile=relay-8",
                "--ledger", str(folder / f"{RELAYS}.ndjson"),
            ],
            TRUCK: [
                "firmware_bridges.jt808.device", "--device", TRUCK, "--connect", f"127.0.0.1:{self.port}",
                "--period", "0.5", "--retry", "0.3", "--phone", "013800138000",
                "--ledger", str(folder / f"{TRUCK}.ndjson"), "--stdin-lease",
            ],
        }  # fmt: skip

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        path.write_text(
            gateway_head(broker_port)
            + f"""[[drivers]]
type = "modbus"
name = "line"
timeout_s = 5
rtu = {{ port = "{ports[RELAYS]}" }}
devices = [{{ id = "{RELAYS}", unit_id = 1, profile = "relay-8", period_s = 0.5 }}]
[[drivers]]
type = "jt808"
name = "vehicles"
listen = "{ports[TRUCK]}"
auth_secret = "a secret of this test"
devices = [{{ id = "{TRUCK}", phone = "013800138000" }}]
[[guards]]
device = "sirens-*"
command = "all-off"
confirm_by = "another"
""",
            "utf-8",
        )
        return path


def marks(path: Path, mark: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [line for line in lines if line.get("mark") == mark]


def test_commands_from_the_cloud_reach_a_relay_and_a_vehicle_and_their_results_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = WithActuators(port=free_port())

    def commands(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = dispatch(["commands", *words, "--data", str(tmp_path / "cloud"), "--json"])
        return code, json.loads(capsys.readouterr().out)

    with Demo(tmp_path, site, broker="mosquitto") as run:
        run.start(lambda _part: None)
        capsys.readouterr()
        dispatch(["token", "create", "t", "--scope", "commands", "--data", str(tmp_path / "cloud"), "--json"])  # fmt: skip
        secret = json.loads(capsys.readouterr().out)["token"]
        url = json.loads((tmp_path / "cloud" / "http.json").read_text("utf-8"))["url"]
        headers = {"Authorization": f"Bearer {secret}"}

        def is_ready(device: str) -> bool:
            found = httpx.get(f"{url}/api/v1/devices", headers=headers, timeout=30).json()
            return any(d["device"] == device and d["state"] == "ok" for d in found)

        wait_until_sync(lambda: is_ready(RELAYS) and is_ready(TRUCK), 60.0)
        code, done = commands("send", RELAYS, "relay-3", "state=on", "--actor", "li")
        assert (code, done["state"], done["answer"]["verified"]) == (0, "done", True)
        code, refused = commands("send", RELAYS, "relay-9", "--actor", "li")
        assert (code, refused["state"]) == (8, "refused")
        assert "relay-8" in refused["text"]
        code, told = commands("send", TRUCK, "text", "text=请绕行", "--actor", "li")
        assert (code, told["state"]) == (0, "done")

        code, armed = commands("send", RELAYS, "all-off", "--actor", "li")
        assert (code, armed["state"]) == (0, "armed")
        code, mine = commands("confirm", armed["id"], "--actor", "li")
        assert (code, mine["state"]) == (8, "refused")
        answer = httpx.post(
            f"{url}/api/v1/commands/{armed['id']}/confirm", headers=headers, json={}, timeout=30
        )
        assert answer.status_code == 202
        second = answer.json()["id"]

        def state(command: str) -> str:
            found = httpx.get(f"{url}/api/v1/commands/{command}", headers=headers, timeout=30)
            return str(found.json()["state"])

        wait_until_sync(lambda: state(second) == "done" and state(armed["id"]) == "done", 30.0)
        code, listed = commands("list")
        assert [row["state"] for row in listed] == ["done", "refused", "done", "done", "refused", "done"]  # fmt: skip
        assert listed[0]["confirms"] == armed["id"]
        run.stop()
    writes = marks(tmp_path / f"{RELAYS}.ndjson", "write")
    assert [(m["function"], m["address"], m["values"]) for m in writes] == [
        (5, 2, "1"),
        (15, 0, "0,0,0,0,0,0,0,0"),
    ]
    assert [m["text"] for m in marks(tmp_path / f"{TRUCK}.ndjson", "text")] == ["请绕行"]
