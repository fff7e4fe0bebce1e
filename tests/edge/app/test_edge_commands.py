"""The commands on a gateway, against a running agent that replays a recording."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.edge.app.conftest import TOCSIN, Start
from tocsin.cli.data import data_dir
from tocsin.cli.root import dispatch
from tocsin.testing import run_process, wait_until_sync

EXAMPLES = sorted(data_dir("configs").glob("gateway-*.toml"))


def edge(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    """(exit code, output) of one command."""
    capsys.readouterr()
    code = dispatch(["edge", *args])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_every_example_passes_the_check(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "-c", str(path)]) == 0
    assert "ok (gateway)" in capsys.readouterr().out


def test_status_values_tail_probe_and_alarms_of_the_replay_example(
    tmp_path: Path, start_edge: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = data_dir("configs")
    recording = configs / "recordings" / "river.csv"
    toml = (configs / "gateway-replay.toml").read_text("utf-8")
    toml = toml.replace('"recordings/river.csv"', f'"{recording}"').replace("= 900 ", "= 90000 ")
    agent = start_edge(toml)
    config = ("-c", str(tmp_path / "gateway.toml"))

    def alarm() -> str:
        code, out = edge(capsys, "alarms", *config, "--json", "--exit-code")
        return str(msgspec.json.decode(out)[0]["alarm"]) if code == 10 else ""

    wait_until_sync(alarm, what=f"the flood: {agent.stderr}")
    code, out = edge(capsys, "status", *config, "--json")
    status = msgspec.json.decode(out)
    assert (code, status["gateway"], status["connected"]) == (0, "gw-replay", None)
    assert [(d["id"], d["state"]) for d in status["devices"]] == [("river-01", "ok")]
    assert status["outputs"] == [{"name": "siren", "on": True, "failures": 0}]
    assert status["rss_bytes"] > 10_000_000

    code, out = edge(capsys, "status", *config)
    assert "gw-replay at workshop" in out
    code, out = edge(capsys, "values", *config, "--json")
    assert {v["quantity"]: v["unit"] for v in msgspec.json.decode(out)} == {
        "level": "m",
        "flow": "m3/s",
    }
    code, out = edge(capsys, "alarms", "ack", alarm(), "--actor", "li", *config)
    assert (code, out) == (0, "river-01 flood: acknowledged by li\n")
    code, out = edge(capsys, "alarms", "ack", "nothing", "--actor", "li", *config, "--json")
    assert (code, msgspec.json.decode(out)["error"]["code"]) == (8, "alarm.refused")
    code, out = edge(capsys, "probe", *config, "--json")
    assert code == 0
    assert [line["ok"] for line in msgspec.json.decode(out)] == [True]
    with run_process([*TOCSIN, "edge", "tail", *config, "--json"]) as tail:
        found = msgspec.json.decode(tail.wait_line('"quantity":"flow"'))
        assert (found["device"], found["unit"]) == ("river-01", "m3/s")
    assert agent.terminate() == 0


def test_without_an_agent_the_answer_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('schema = 1\n[gateway]\ndata_dir = "data"\n', "utf-8")
    code, out = edge(capsys, "status", "-c", str(path), "--json")
    assert code == 6
    assert "no agent answers" in msgspec.json.decode(out)["error"]["message"]


def test_alarms_without_anything_lists_them_and_not_its_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.toml").write_text('[gateway]\ndata_dir = "data"\n', "utf-8")
    code, _ = edge(capsys, "alarms")
    assert code == 6  # it asked the agent, which is not there
