"""Our own model: what it is made with, that the shipped one is as its model.toml says, and that training learns."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import onnxruntime
import pytest

from edge.vision.nn.load import Variant, find, load_detector
from edge.vision.nn.settings import load_model_file
from tests.edge.vision.scenes import scene
from tocsin.errors import ModelError

HERE = find("smoke-fire").parent
VARIANTS: list[Variant] = ["fp32", "int8"] if (HERE / "smoke-fire-int8.onnx").exists() else ["fp32"]
MAKERS = ["smoke", "flame", "cloud", "haze", "sun", "dust", "shadow", "drops", "insect", "glint", "blocks", "half_grey"]  # fmt: skip


@pytest.fixture(scope="module")
def procedural() -> ModuleType:
    spec = importlib.util.spec_from_file_location("procedural", HERE / "procedural.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_procedural_depends_on_its_seed_alone(procedural: ModuleType, name: str) -> None:
    def make(seed: int) -> np.ndarray:
        made = getattr(procedural, name)(before, np.random.default_rng(seed))
        return np.asarray(made[0] if isinstance(made, tuple) else made)

    before = scene(288, 224)
    first, again = make(5), make(5)
    assert first.shape == before.shape
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (before == scene(288, 224)).all()
    assert any((make(seed) != first).any() for seed in range(6, 12))


def test_an_older_plume_is_the_same_plume_grown(procedural: ModuleType) -> None:
    for seed in range(12):
        young, old = (
            procedural.plume(np.random.default_rng(seed), 224, 288, 0.35, age) > 0.1
            for age in (0.2, 1.0)
        )
        if old.any() and young.any():
            assert old.sum() > young.sum()
            rows = [np.nonzero(c.any(axis=1))[0] for c in (young, old)]
            assert abs(int(rows[0][-1]) - int(rows[1][-1])) < 0.5 * (rows[1][-1] - rows[1][0] + 8)


@pytest.mark.parametrize("file", sorted(p.name for p in HERE.glob("*.onnx")))
def test_the_shipped_graph_takes_any_size_and_an_empty_reference(file: str) -> None:
    path = HERE / file
    assert path.stat().st_size <= 1_500_000
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for height, width in ((384, 512), (448, 448), (96, 1024), (32, 32)):
        picture = scene(width, height)[None]
        for before in (np.zeros_like(picture), picture, np.full_like(picture, 7)):
            heat, score = session.run(["heat", "score"], {"image": picture, "reference": before})
            assert heat.shape == (1, 2, height // 8, width // 8)
            assert heat.dtype == score.dtype == np.float32
            assert np.isfinite(heat).all()
            assert heat.min() >= 0
            assert heat.max() <= 1
            hottest = np.sort(heat.reshape(2, -1), axis=1)[:, -8:].mean(axis=1)
            assert score[0] == pytest.approx(hottest, abs=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_model_loads_by_its_hash_and_looks_at_odd_sizes(variant: Variant) -> None:
    detector = load_detector("smoke-fire", variant=variant)
    assert detector.classes == ("smoke", "fire")
    for width, height in ((641, 359), (123, 457), (33, 700)):
        found = detector.detect(scene(width, height))
        assert set(found.scores) == {"smoke", "fire"}


def test_eight_bits_tell_nearly_the_same_as_floats(procedural: ModuleType) -> None:
    if (
        load_model_file(HERE / "model.toml").value.int8 is None
    ):  # none is shipped, and none is loaded
        with pytest.raises(ModelError, match="names no 8-bit variant"):
            load_detector("smoke-fire", variant="int8")
        return
    full, small = (load_detector("smoke-fire", variant=v) for v in VARIANTS)
    differences = []
    for seed in range(10):
        before = scene(512, 384, seed)
        rng = np.random.default_rng(seed)
        now, _ = (procedural.smoke if seed % 2 else procedural.flame)(before, rng)
        a, b = full.detect(now, before).scores, small.detect(now, before).scores
        differences += [abs(a[name] - b[name]) for name in a]
    assert np.mean(differences) < 0.05
    assert max(differences) < 0.25


def test_the_card_and_the_settings_tell_the_same_weights() -> None:
    settings = load_model_file(HERE / "model.toml").value
    card = (HERE / "CARD.md").read_text("utf-8")
    assert settings.sha256 in card
    assert settings.version in card
    assert (settings.int8 is not None) == ("int8" in VARIANTS)
    assert settings.int8 is None or settings.int8.sha256 in card


def labelled(folder: Path, light: int) -> Path:
    """Pictures as `tocsin vision export` leaves them: everything in train.json, nothing in val.json."""
    (folder / "images").mkdir(parents=True)
    kinds = [{"id": 1, "name": "smoke"}, {"id": 2, "name": "fire"}]
    images, notes = [], []
    for i in range(24):
        picture = np.clip(scene(64, 48, seed=i) * 0.4 + light, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{i:02}.png"), picture)
        images.append({"id": i, "file_name": f"{i:02}.png", "width": 64, "height": 48, "group": "north", "source": "own"})  # fmt: skip
        if i % 8 == 7:
            notes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [8, 8, 16, 16], "area": 256, "iscrowd": 0})  # fmt: skip
    for name, had, told in (("train", images, notes), ("val", [], [])):
        text = json.dumps({"images": had, "annotations": told, "categories": kinds})
        (folder / f"{name}.json").write_text(text)
    return folder


def run_in_training(code: str, *argv: str) -> str:
    """With the modules of models/smoke-fire, which are no package."""
    paths = f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1])!r}]\n"
    done = subprocess.run([sys.executable, "-c", paths + code, *argv], capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_training_never_takes_other_pictures_of_the_same_size_from_its_cache(
    tmp_path: Path,
) -> None:
    code = """
import data
from pathlib import Path
for folder in sys.argv[1:3]:
    print(float(data.load(Path(folder), Path(sys.argv[3]))[0].picture.mean()))
"""
    dark, bright = (str(labelled(tmp_path / f"of{light}", light)) for light in (10, 120))
    first, second = map(float, run_in_training(code, dark, bright, str(tmp_path / "cache")).split())
    assert second - first > 80


def test_two_trainings_that_fill_one_cache_at_once_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    code = """
import cv2, data
from pathlib import Path
folder, cache = map(Path, sys.argv[1:3])
read, others = cv2.imread, []
def while_another_does(*given):
    if not others:
        others.append(True)
        others[0] = data.load(folder, cache)
    return read(*given)
cv2.imread = while_another_does
own = data.load(folder, cache)
print([i.picture.mean() for i in own] == [i.picture.mean() for i in others[0]], len(list(cache.iterdir())))
"""
    cache = str(tmp_path / "cache")
    assert run_in_training(code, str(labelled(tmp_path / "own", 60)), cache).split() == [
        "True",
        "2",
    ]


def test_weights_are_measured_on_an_export_whose_val_json_is_empty(tmp_path: Path) -> None:
    code = """
import json, measure
from pathlib import Path
folder = Path(sys.argv[1])
found = measure.left_out(Path(measure.__file__).parent, folder, {f"{i:02}.png" for i in range(24)})
print(json.dumps([c["scored"] for c in found["cameras"]]))
"""
    (scored,) = json.loads(run_in_training(code, str(labelled(tmp_path / "own", 60))))
    assert 3 <= scored < 24


_TWO_WAYS = """
import sys, torch, onnxruntime
from pathlib import Path
from export import write_onnx
from network import Graph, Net, prepare
torch.manual_seed(1)
nets = [Net().eval(), Net().eval()]
for part in (p for net in nets for p in net.modules()):
    if isinstance(part, torch.nn.BatchNorm2d):
        part.running_mean.normal_(0, 0.3), part.bias.data.normal_(0, 0.3)
        part.running_var.uniform_(0.5, 2), part.weight.data.uniform_(0.5, 2)
for net in nets:
    net.last[-1].bias.data.zero_()
path = Path(sys.argv[1])
write_onnx(nets, path)
stored = onnxruntime.InferenceSession(path)
noise = torch.rand(1, 96, 160, 3)
full, soft, none = (noise * 255).byte(), (noise.flip(1) * 120 + 90).byte(), torch.zeros(1, 96, 160, 3, dtype=torch.uint8)
grain, less, dim = (noise * 12).byte() + 7, (noise.flip(1) * 3).byte() + 7, (noise.flip(2) * 40).byte()
for image, before in ((full, soft), (soft, full), (full, none), (dim, full), (full, dim), (soft, grain), (grain, less), (less, grain), (full, full)):
    with torch.no_grad():
        x, mirrored = prepare(image, before), prepare(image.flip(2), before.flip(2))
        each = [(net(x) + net(mirrored).flip(3)) / 2 for net in nets]
        wanted = torch.sigmoid((each[0] + each[1]) / 2)
        alone = Graph(nets[:1])(image, before)[0]
        both = Graph(nets)(image, before)[0]
    run = torch.from_numpy(stored.run(["heat"], {"image": image.numpy(), "reference": before.numpy()})[0])
    assert (torch.sigmoid(each[1]) - wanted).abs().max() > 0.01
    for heat, as_trained, near in ((alone, torch.sigmoid(each[0]), 3e-5), (both, wanted, 3e-5), (run, wanted, 3e-3)):
        assert torch.allclose(heat, as_trained, atol=near), (heat - as_trained).abs().max()
"""


def _python_with_torch() -> str:
    python = os.environ.get("TOCSIN_TRAIN_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode:
        pytest.skip("torch is not installed (models/smoke-fire/requirements.txt); set TOCSIN_TRAIN_PYTHON to a Python that has it")  # fmt: skip
    return python


@pytest.mark.release
def test_the_graph_that_is_exported_gives_the_heat_of_the_networks_as_they_are_trained(
    tmp_path: Path,
) -> None:
    command = [_python_with_torch(), "-c", _TWO_WAYS, str(tmp_path / "own.onnx")]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.release
@pytest.mark.timeout(1800)
def test_five_minutes_of_training_learn(shared_data: Path, tmp_path: Path) -> None:
    """AUC on forest cameras that the run never saw, clearly above chance. TOCSIN_TRAIN_PYTHON: a Python that has torch."""
    python = _python_with_torch()
    if shutil.disk_usage(tmp_path).free < 4e9:
        pytest.skip(f"less than 4 GB free in {tmp_path}")
    command = [python, str(HERE / "train"), "--data", str(shared_data / "fire-smoke"), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "model")]  # fmt: skip
    done = subprocess.run(
        [*command, "--minutes", "5", "--seeds", "1", "--leave-out", "3/5", "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["nothing_ignored"]["sources"]["hpwren"]["smoke"]["auc"] > 0.75
