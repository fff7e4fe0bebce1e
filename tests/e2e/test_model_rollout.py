"""A model sent from the cloud's command line and over HTTP, through broker and agent, tried there, and told back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_gateway_config import TwoHeads
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.cli.root import dispatch
from tocsin.lab.demo import Demo
from tocsin.lab.site import GATEWAY


class TakesModels(TwoHeads, frozen=True):
    """A gateway that takes models."""

    def write_gateway(self, folder: Path, *, broker_port: int, ports: dict[str, str]) -> Path:
        path = super().write_gateway(folder, broker_port=broker_port, ports=ports)
        text = path.read_text("utf-8")
        path.write_text(text.replace("remote_config = true", "remote_models = true"), "utf-8")
        return path


def test_a_model_is_pushed_tried_and_used_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str, where: tuple[str, ...] = ("--data", str(tmp_path / "cloud"))) -> tuple[int, Any]:  # fmt: skip
        capsys.readouterr()
        code = dispatch([*words, *where, "--json"])
        return code, json.loads(capsys.readouterr().out)

    right = write_model(tmp_path / "right", heat_graph() + b"\xa2\x06\x80\x80\x04" + bytes(65536), HEAT_SETTINGS)  # fmt: skip
    wrong = write_model(tmp_path / "wrong", b"no graph", HEAT_SETTINGS)
    changed = write_model(tmp_path / "changed", heat_graph(), HEAT_SETTINGS)
    (changed / "trial.onnx").write_bytes(b"something else")
    with Demo(tmp_path, TakesModels(), broker="mosquitto") as demo:
        demo.start(lambda _part: None)
        push = ("gateways", "model", "push", GATEWAY)
        code, told = run(*push, str(right), "--wait", "60", "--actor", "li")
        assert (code, told["state"], told["actor"]) == (0, "applied", "li"), told
        code, told = run(*push, str(wrong), "--wait", "60")
        assert (code, told["state"], told["reason"]) == (8, "refused", "vision.model"), told
        code, told = run(*push, str(changed))
        assert (code, "SHA-256" in told["error"]["message"]) == (2, True), told
        code, told = run(*push, str(tmp_path / "nowhere"))
        assert (code, told["error"]["code"]) == (3, "vision.model")
        code, listed = run("gateways", "model", "list", GATEWAY)
        assert [row["state"] for row in listed] == ["refused", "applied"]
        demo.stop()
