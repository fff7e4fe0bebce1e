"""`tocsin edge status` says which version of a model looks at each camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edge.control.client import ask
from edge.rollout.store import Installed, ModelStore
from tests.edge.app.conftest import Start
from tests.edge.app.test_reload import HEAD
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.cli.root import dispatch
from tocsin.errors import ControlError
from tocsin.testing import wait_until_sync

CAMERAS = """
[[drivers]]
type = "camera"
name = "cameras"
period_s = 1
[[drivers.devices]]
id = "ridge"
source = "{0}/frames"
model = "{0}/shipped"
repeat = true
fps = 2.0
[[drivers.devices]]
id = "gone"
source = "http://127.0.0.1:9/snap.jpg"
model = "{0}/shipped"
"""


def test_status_shows_which_version_looks_at_each_camera_and_that_it_is_on_trial(
    start_edge: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "shipped", heat_graph(), HEAT_SETTINGS)
    (tmp_path / "frames").mkdir()
    rng = np.random.default_rng(4)
    for i in range(50):
        picture = rng.integers(60, 120, (128, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "frames" / f"{i:03}.png"), picture)

    def looking() -> list[tuple[str, str, str, bool]]:
        try:
            status = msgspec.convert(ask(tmp_path / "data/control.sock", "status"), dict[str, Any])
        except ControlError:
            return []
        return [(c["device"], c["model"], c["version"], c["trial"]) for c in status["looking"]]

    edge = start_edge(HEAD + CAMERAS.format(tmp_path))
    wait_until_sync(lambda: looking() == [("ridge", "trial", "1", False)], what=f"{edge.stderr}")
    edge.terminate()

    store = ModelStore(tmp_path / "data" / "models")  # as a cloud that sent it leaves it
    toml = write_model(store.folder_of("trial", "B"), heat_graph(), HEAT_SETTINGS) / "model.toml"
    toml.write_text(toml.read_text().replace('version = "1"', 'version = "2"'))
    store.use("trial", Installed("B", "2", 1))
    edge = start_edge(HEAD + CAMERAS.format(tmp_path))
    wait_until_sync(lambda: looking() == [("ridge", "trial", "2", True)], what=f"{edge.stderr}")
    capsys.readouterr()
    assert dispatch(["edge", "status", "-c", str(tmp_path / "gateway.toml")]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "trial 2, on trial" in lines["ridge"]
    assert " - " in lines["gone"], "no model looks at a camera that does not answer"
