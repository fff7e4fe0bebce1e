"""Cameras of a running gateway, and a model whose file is not the one that its model.toml names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edge.control.client import ask
from tests.edge.app.conftest import Start
from tests.edge.app.test_reload import HEAD
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.cli.root import dispatch
from tocsin.errors import ConfigError, ControlError
from tocsin.testing import Process, wait_until_sync


def site(tmp_path: Path, second: str) -> str:
    """Two cameras with a model each."""
    rng, folder = np.random.default_rng(4), tmp_path / "pictures"
    folder.mkdir(exist_ok=True)
    for i in range(6):
        picture = rng.integers(60, 120, (128, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    toml = HEAD + '[[drivers]]\ntype = "camera"\nname = "ridge"\nperiod_s = 1\n'
    for name, model in (("cam-1", "good"), ("cam-2", second)):
        toml += (
            f'[[drivers.devices]]\nid = "{name}"\nsource = "pictures"\nfps = 5\nrepeat = true\n'
            f'idle_fps = 5\nmodel = "./{model}"\n'
        )
    return toml


class Asked:
    """The running gateway."""

    def __init__(self, tmp_path: Path, edge: Process) -> None:
        self._socket, self._edge = tmp_path / "data" / "control.sock", edge

    def device(self, name: str) -> dict[str, Any]:
        try:
            found = msgspec.convert(ask(self._socket, "status"), dict[str, Any])
        except ControlError:
            return {}
        return next(d for d in found["devices"] if d["id"] == name)

    def becomes(self, name: str, state: str) -> None:
        """Once it is so."""
        wait_until_sync(
            lambda: self.device(name).get("state") == state,
            timeout_s=60.0,
            what=f"{name}: {self._edge.stderr}",
        )

    def reads(self, name: str, more_than: int = 0) -> int:
        """Once it is more."""
        wait_until_sync(
            lambda: self.device(name).get("reads", 0) > more_than,
            timeout_s=60.0,
            what=f"{name}: {self._edge.stderr}",
        )
        return int(self.device(name)["reads"])


def test_a_reload_onto_a_wrong_model_is_refused_and_the_cameras_go_on(
    tmp_path: Path, start_edge: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "bad"):
        write_model(tmp_path / name, heat_graph(), HEAT_SETTINGS)
    (tmp_path / "bad" / "trial.onnx").write_bytes(b"another")
    gateway = Asked(tmp_path, start_edge(site(tmp_path, "good")))
    for name in ("cam-1", "cam-2"):
        gateway.becomes(name, "ok")
    path = tmp_path / "gateway.toml"
    path.write_text(site(tmp_path, "bad"), "utf-8")
    for command in (["check"], ["edge", "reload"]):
        assert dispatch([*command, "-c", str(path), "--json"]) == ConfigError.exit_code
        (problem,) = msgspec.json.decode(capsys.readouterr().out)["error"]["problems"]
        assert problem["key"] == "drivers[0].devices[1].model"
        assert "write the new hash into model.toml" in problem["allowed"]
    for name in ("cam-1", "cam-2"):
        gateway.reads(name, gateway.reads(name))
        assert gateway.device(name)["state"] == "ok"


def test_only_the_cameras_of_a_wrong_model_wait_at_a_start_and_look_once_it_is_mended(
    tmp_path: Path, start_edge: Start
) -> None:
    for name in ("good", "bad"):
        folder = write_model(tmp_path / name, heat_graph(), HEAT_SETTINGS)
    (folder / "trial.onnx").write_bytes(b"another")
    gateway = Asked(tmp_path, start_edge(site(tmp_path, "bad")))
    gateway.becomes("cam-1", "ok")
    gateway.becomes("cam-2", "unavailable")
    assert "model of camera cam-2: " in gateway.device("cam-2")["last_error"]
    assert "is not the file that" in gateway.device("cam-2")["last_error"]
    assert (
        gateway.device("cam-2")["last_reason"] == "bad-file"
    )  # a camera that refuses is news then
    gateway.reads("cam-1", gateway.reads("cam-1"))
    write_model(folder, b"no graph at all", HEAT_SETTINGS)
    wait_until_sync(
        lambda: "is not the file that" not in gateway.device("cam-2")["last_error"], timeout_s=60.0
    )
    assert gateway.device("cam-2")["state"] == "unavailable"
    write_model(folder, heat_graph(), HEAT_SETTINGS)
    gateway.becomes("cam-2", "ok")
    gateway.reads("cam-1", gateway.reads("cam-1"))
