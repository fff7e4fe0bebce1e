"""A gateway's configuration sent from the cloud's command line, through broker, agent and back: confirmed, refused, taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.cli.root import dispatch
from tocsin.lab.demo import Demo
from tocsin.lab.site import GATEWAY, Device, Site, gateway_head


class TwoHeads(Site, frozen=True):
    """Two gas heads on one line, the gateway knows of one."""

    @property
    def devices(self) -> tuple[Device, ...]:
        return (Device("gas-01", "gas", 0.5, "gas-head", "four-gas-head"),)

    def processes(self, folder: Path) -> dict[str, list[str]]:
        units = [
            word
            for n in (1, 2)
            for word in (
                "--unit", f"unit={n},device=gas-{n:02},model=gas-head,profile=four-gas-head",
            )
        ]  # fmt: skip
        return {
            "gas-01": [
                "firmware_bridges.modbus.device", "--tcp", "127.0.0.1:0", "--stdin-lease",
                "--ledger", str(folder / "gas-01.ndjson"), *units,
            ]
        }  # fmt: skip

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = folder / "gateway.toml"
        port = ports["gas-01"].rpartition(":")[2]
        head = gateway_head(broker_port) + "remote_config = true\nconfirm_s = 4\n"
        path.write_text(head + _line(port, 1), "utf-8")
        (folder / "next.toml").write_text(head + _line(port, 1, 2), "utf-8")
        return path


def _line(port: str, *units: int) -> str:
    toml = f'[[drivers]]\ntype = "modbus"\nname = "line"\ntcp = {{ host = "127.0.0.1", port = {port} }}\n'
    for n in units:
        toml += f'[[drivers.devices]]\nid = "gas-{n:02}"\nunit_id = {n}\nprofile = "four-gas-head"\nperiod_s = 0.5\n'
    return toml


def test_a_configuration_is_pushed_confirmed_and_withdrawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def config(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        args = ["gateways", "config", *words, "--data", str(tmp_path / "cloud"), "--json"]
        code = dispatch(args)
        return code, json.loads(capsys.readouterr().out)

    with Demo(tmp_path, TwoHeads(), broker="mosquitto") as run:
        run.start(lambda _part: None)
        following = tmp_path / "next.toml"
        code, told = config("push", GATEWAY, str(following), "--wait", "60", "--actor", "li")
        assert (code, told["state"], told["version"]) == (0, "confirmed", 1), told
        wrong = following.read_text("utf-8").replace("unit_id = 2", "unit_id = 2000")
        (tmp_path / "wrong.toml").write_text(wrong, "utf-8")
        code, told = config("push", GATEWAY, str(tmp_path / "wrong.toml"), "--wait", "60")
        assert (code, told["state"]) == (8, "refused")
        assert told["problems"][0]["line"] == 1 + wrong.splitlines().index("unit_id = 2000")
        code, told = config("withdraw", GATEWAY, "--wait", "60")
        assert (code, told["state"], told["version"]) == (0, "withdrawn", 3)
        code, listed = config("list", GATEWAY)
        assert [row["state"] for row in listed] == ["withdrawn", "refused", "confirmed"]
        assert config("show", GATEWAY, "1")[1]["toml"] == following.read_text("utf-8")
        code, devices = _query(tmp_path, capsys)
        assert devices == ["gas-01", "gas-02"]
        run.stop()


def _query(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    sql = "SELECT DISTINCT device FROM gas ORDER BY device"
    code = dispatch(["query", sql, "--data", str(folder / "cloud"), "--format", "jsonl"])
    lines = capsys.readouterr().out.splitlines()
    return code, [json.loads(line)["device"] for line in lines]
