"""A model whose files are not as its model.toml says: a mistake of the configuration where one is told, and no reason to go without the rest."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge.config import load_gateway, load_right_sections
from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.driver import CameraDriver
from edge.drivers.camera.learned import Learned, LearnedFiles, places
from edge.remote import Sources
from edge.remote.store import RemoteState, RemoteStore
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from edge.vision.watch.answer import Answer
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.errors import CommandRefusedError, ConfigError
from tocsin.testing import wait_until
from tocsin.testing.conformance.surroundings import Surroundings

HEAD = 'schema = 1\n[gateway]\nid = "gw-1"\nsite = "plant"\ndata_dir = "data"\n'
RIDGE = '[[drivers]]\ntype = "camera"\nname = "ridge"\n'


def camera(name: str, model: str, more: str = "") -> str:
    return f'[[drivers.devices]]\nid = "{name}"\nsource = "pictures"\nmodel = "{model}"\n{more}'


def gateway(folder: Path, *cameras: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(HEAD + RIDGE + "".join(cameras), "utf-8")
    return path


def other_file(folder: Path) -> None:
    (folder / "trial.onnx").write_bytes(b"another")


def no_file(folder: Path) -> None:
    (folder / "trial.onnx").unlink()


def a_folder_in_its_place(folder: Path) -> None:
    no_file(folder)
    (folder / "trial.onnx").mkdir()


def wrong_toml(folder: Path) -> None:
    path = folder / "model.toml"
    path.write_text(path.read_text("utf-8").replace("width = 320", "width = 3"), "utf-8")


def no_toml(folder: Path) -> None:
    (folder / "model.toml").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_file, r"is not the file that .*model\.toml names: .*write the new hash"),
        (no_file, r"trial\.onnx, which .*: No such file .*install the model again"),
        (a_folder_in_its_place, r"trial\.onnx, which .*: Is a directory"),
        (wrong_toml, r"model\.toml:9: input\.width = 3: must be .* from 32"),
        (no_toml, r"holds no model\.toml"),
    ],
)
def test_a_wrong_model_is_told_once_with_its_place_and_a_start_goes_on_to_the_driver(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    for name in ("good", "bad"):
        write_model(tmp_path / name, heat_graph(), HEAT_SETTINGS)
    names = {"cam-1": "./good", "cam-2": "./bad", "cam-3": "./bad"}
    path = gateway(tmp_path, *(camera(name, model) for name, model in names.items()))
    assert load_gateway(path).value.drivers
    spoil(tmp_path / "bad")
    with pytest.raises(ConfigError) as refused:
        load_gateway(path)
    (problem,) = refused.value.problems
    lines = path.read_text("utf-8").splitlines()
    assert (problem.file, problem.line) == (str(path), 1 + lines.index('model = "./bad"'))
    assert problem.key == "drivers[0].devices[1].model"
    with pytest.raises(ConfigError, match=says):
        load_gateway(path)
    started = load_right_sections(path)
    assert not started.left_out
    assert [d.id for d in started.value.drivers[0].devices] == list(names)  # type: ignore[attr-defined]


def test_a_radiometric_camera_needs_no_model(tmp_path: Path) -> None:
    other_file(write_model(tmp_path / "bad", heat_graph(), HEAT_SETTINGS))
    heat = camera("cam-1", "./bad", "kelvin_per_count = 0.04\n")
    assert load_gateway(gateway(tmp_path, heat)).value.drivers


@pytest.mark.parametrize("wrong", [False, True])
def test_a_check_looks_at_models_without_the_extra_vision(tmp_path: Path, *, wrong: bool) -> None:
    folder = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    if wrong:
        other_file(folder)
    path = gateway(tmp_path, camera("cam-1", "./model"))
    gone = "sys.modules.update(dict.fromkeys(('cv2', 'onnxruntime', 'onnx')))"
    code = f"import sys; {gone}; from tocsin.cli import main; main()"
    argv = [sys.executable, "-c", code, "check", "-c", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == (3 if wrong else 0), done.stderr
    assert ("is not the file that" in done.stderr) is wrong


def test_a_model_that_goes_bad_rolls_no_configuration_from_the_cloud_back(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    path = gateway(tmp_path, camera("cam-1", "./model"))
    store = RemoteStore(tmp_path / "data" / "remote")
    text = path.read_text("utf-8")
    sent = store.keep(7, text + camera("cam-2", "./model"))
    base = hashlib.sha256(path.read_bytes()).hexdigest()
    store.save(RemoteState(seen=7, version=7, state="confirmed", base=base))
    other_file(model)
    sources, loaded = Sources.at_start(path)
    assert (loaded.path, sources.stories) == (sent, [])
    assert sources.store.state == msgspec.structs.replace(store.state, version=7)
    with pytest.raises(ConfigError, match="is not the file that"):
        sources.again(own=False)


async def test_what_a_camera_had_learned_outlasts_a_run_in_which_its_model_was_wrong(
    tmp_path: Path,
) -> None:
    pictures, rng = tmp_path / "pictures", np.random.default_rng(4)
    pictures.mkdir()
    for i in range(40):
        picture = rng.integers(60, 120, (128, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(pictures / f"{i:02}.png"), picture)
    models = {n: write_model(tmp_path / n, heat_graph(), HEAT_SETTINGS) for n in ("good", "bad")}
    devices = [
        {"id": f"cam-{name}", "source": str(pictures), "as_fast_as_looked_at": True, "idle_fps": 20.0,
         "model": str(folder)}
        for name, folder in models.items()
    ]  # fmt: skip
    given = {"type": "camera", "name": "ridge", "state_dir": str(tmp_path), "devices": devices}
    config = CameraConfig.model_validate(given)
    memory = LearnedFiles(places(tmp_path, _no_folder), logging.getLogger(), _nothing)
    answer = Answer("smoke", (0.1, 0.1, 0.2, 0.2), 1, fire=False)
    heat = {"visible": Packed("trial 1", 9, (1, 1, 1), b"00", b"00")}
    learned = Learned(Watch(judged=7), masks=(), heat=heat, answers=(answer,))
    memory.write("cam-bad", learned, 0)
    other_file(models["bad"])
    around = Surroundings("ridge")
    driver = CameraDriver(config, around.context)
    running = asyncio.create_task(driver.run())
    await wait_until(lambda: bool(around.errors) and "cam-good" in around.up, 60.0)
    with pytest.raises(CommandRefusedError, match="the model of cam-bad cannot be used"):
        await driver.command("cam-bad", "masks", {"masks": "[]"}, 5.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {name for name, _ in around.errors} == {"cam-bad"}
    assert memory.read("cam-bad")[0] == learned


async def test_a_probe_opens_the_cameras_whose_models_are_right(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.png"), np.full((128, 160, 3), 90, np.uint8))
    for name in ("good", "bad"):
        write_model(tmp_path / name, heat_graph(), HEAT_SETTINGS)
    path = gateway(tmp_path, camera("cam-1", "./bad"), camera("cam-2", "./good"))
    (config,) = load_gateway(path).value.drivers
    no_file(tmp_path / "bad")
    lines = await CameraDriver(config, Surroundings("ridge").context).probe()
    assert [(line.device, line.ok) for line in lines] == [("cam-1", False), ("cam-2", True)]
    assert "install the model again" in lines[0].text


def _no_folder(_camera: str) -> Path | None:
    return None


def _nothing(_counter: str, _n: int) -> None:
    pass
