"""Models: settings, hash, graph, heads, references, tiles."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.vision.frame import Picture
from edge.vision.nn import tiles
from edge.vision.nn.fit import fit
from edge.vision.nn.graph import _head
from edge.vision.nn.heads.head import LayoutError, ValuesError
from edge.vision.nn.heads.unit import Unit
from edge.vision.nn.load import load_detector
from edge.vision.nn.settings import HeadTable, InputTable
from edge.vision.nn.sight import Sight
from edge.vision.nn.slot import TRIAL_FRAMES, Change, Looking, Slot
from edge.vision.observation import Box
from tests.edge.vision.graphs import (
    HEAT_SETTINGS,
    box_graph,
    heat_graph,
    told_graph,
    write_model,
)
from tocsin.errors import ConfigError, MissingExtraError, ModelError, ModelReason

NAN = float("nan")
RED, BLUE = (0, 0, 255), (255, 0, 0)
YOLO = 'classes = ["red", "blue"]\n[input]\nwidth = 320\nheight = 256\n{more}[head]\nkind = "{kind}"\n{head}'


def painted(width: int, height: int, *marks: tuple[tuple[int, ...], int, int, int, int]) -> Picture:
    """A dark picture with rectangles (colour, x, y, width, height)."""
    picture = np.full((height, width, 3), 40, np.uint8)
    for colour, x, y, w, h in marks:
        picture[y : y + h, x : x + w] = colour
    return picture


def near(box: Box, x: float, y: float, width: float, height: float, within: float) -> bool:
    found = (box.x, box.y, box.x + box.width, box.y + box.height)
    wanted = (x, y, x + width, y + height)
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= within


@pytest.mark.parametrize(
    ("graph", "kind", "more", "head"),
    [
        ("yolov5", "yolov5", "", ""),
        ("yolov8", "yolov8", "", ""),
        ("yolov10", "yolov10", "", "threshold = 0.85\n"),
        ("yolox", "yolox", 'colour = "bgr"\nscale = 1.0\nanchor = "top-left"\n', ""),
        ("rt-detr", "rt-detr", 'fit = "stretch"\n', "threshold = 0.85\n"),
        ("rt-detr logits", "rt-detr", 'fit = "stretch"\n', "threshold = 0.85\n"),
        ("rt-detr labels", "rt-detr", "", "threshold = 0.85\n"),
    ],
)
@pytest.mark.parametrize("size", [(320, 256), (641, 359), (123, 457), (1999, 1201)])
def test_every_head_finds_the_rectangles_where_they_are_in_pictures_of_any_size(
    tmp_path: Path, graph: str, kind: str, more: str, head: str, size: tuple[int, int]
) -> None:
    top, bgr = (255.0, True) if kind == "yolox" else (1.0, False)
    data = box_graph(graph, 320, 256, bgr=bgr, top=top)
    folder = write_model(tmp_path, data, YOLO.format(kind=kind, more=more, head=head))
    width, height = size
    red = (width // 5, height // 4, width // 3, height // 3)
    blue = (width // 2, height // 2, width // 4, height // 4)
    found = load_detector(folder).detect(painted(width, height, (RED, *red), (BLUE, *blue)))
    pixel = 1.5 * max(width / 320, height / 256, 1)
    by_label = {box.label: box for box in found.boxes}
    assert near(by_label["red"], *red, pixel)
    assert by_label["red"].score == pytest.approx(0.9, abs=1e-4)
    assert found.scores["blue"] == pytest.approx(0.7, abs=1e-4)
    if (
        "0.85" not in head
    ):  # with them in sight: the weaker red one was the same object, the blue one was not
        assert [box.label for box in found.boxes] == ["red", "blue"]
        assert near(by_label["blue"], *blue, pixel)


def test_a_heat_map_gives_boxes_scores_and_what_got_brighter_than_the_reference(
    tmp_path: Path,
) -> None:
    detector = load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS))
    fire = (64, 96, 64, 32)
    before, now = painted(640, 512), painted(640, 512, (RED, *fire), ((255,) * 3, 320, 320, 128, 64))  # fmt: skip
    found = detector.detect(now, before)
    assert {b.label for b in found.boxes} == {"smoke", "fire"}
    assert all(near(b, *fire, 16) for b in found.boxes if b.label == "fire")
    assert found.scores["fire"] == pytest.approx(1.0, abs=0.01)
    assert detector.detect(now).scores["smoke"] == 0
    again = detector.detect(now, detector.fit(before).image)
    assert (again.scores, again.boxes) == (found.scores, found.boxes)


def test_what_is_ignored_and_what_is_margin_counts_for_nothing(tmp_path: Path) -> None:
    detector = load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS))
    picture = painted(900, 300, (RED, 0, 0, 900, 300))
    assert detector.fit(picture).image.shape == (256, 320, 3)
    whole = detector.detect(picture)
    (box,) = whole.boxes
    assert near(box, 0, 0, 900, 300, 0.01)
    half = np.zeros((300, 900), bool)
    half[:, :450] = True
    (right,) = detector.detect(picture, ignore=half).boxes
    assert right.x == pytest.approx(450, abs=25)
    assert detector.detect(picture, ignore=~np.zeros_like(half)).scores == {"smoke": 0, "fire": 0}


def test_boxes_of_other_heads_that_lie_in_what_is_ignored_are_not_counted(tmp_path: Path) -> None:
    settings = YOLO.format(kind="yolov8", more="", head="")
    detector = load_detector(write_model(tmp_path, box_graph("yolov8", 320, 256), settings))
    picture = painted(640, 512, (RED, 64, 64, 128, 128), (BLUE, 320, 320, 64, 64))
    ignore = np.zeros((512, 640), bool)
    ignore[:256, :256] = True
    found = detector.detect(picture, ignore=ignore)
    assert [b.label for b in found.boxes] == ["blue"]
    assert found.scores["red"] == 0


def test_the_graphs_own_score_and_sizes_are_read_where_the_settings_say_so(tmp_path: Path) -> None:
    settings = HEAT_SETTINGS.replace(
        "threshold = 0.4", 'threshold = 0.4\nscore = "graph"\nboxes = "centres"'
    )
    data = heat_graph(score=True, size=(48.0, 24.0))
    detector = load_detector(write_model(tmp_path, data, settings))
    (box,) = detector.detect(painted(320, 256, (RED, 160, 128, 8, 8))).boxes
    assert near(box, 164 - 24, 132 - 12, 48, 24, 0.01)
    assert detector.detect(painted(320, 256, (RED, 160, 128, 8, 8))).scores["fire"] == pytest.approx(1, abs=0.01)  # fmt: skip


def test_small_things_are_found_in_tiles_and_one_object_over_two_tiles_is_one_box(
    tmp_path: Path,
) -> None:
    settings = HEAT_SETTINGS.replace("[head]", 'fit = "tile"\noverlap = 32\n[head]')
    detector = load_detector(write_model(tmp_path, heat_graph(), settings))
    small, wide = (980, 600, 16, 16), (250, 300, 200, 40)
    picture = painted(1024, 640, (RED, *small), (RED, *wide))
    found = [b for b in detector.detect(picture).boxes if b.label == "fire"]
    assert len(found) == 2
    assert any(near(b, *small, 8) for b in found)
    assert any(near(b, *wide, 16) for b in found)
    assert not any(near(b, *small, 8) for b in detector.detect(picture, only_tiles=[0]).boxes)
    sight, seen = Sight(detector), set[int]()
    count = len(tiles.places(1024, 640, detector.settings.input))
    for i in range(count):
        looked = sight.see(picture, i).heat
        assert len(looked) == 4
        seen |= looked.keys()
    assert seen == set(range(count))


@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.sampled_from([0.0, 0.5, 0.9]), min_size=9))
def test_no_tile_waits_for_ever_however_hot_the_others_are(
    count: int, share: int, heat: list[float]
) -> None:
    rotation = tiles.Rotation(count, share)
    last = dict.fromkeys(range(count), 0)
    for frame in range(1, 40):
        chosen = rotation.choose()
        assert len(chosen) == min(count, share)
        assert len(set(chosen)) == len(chosen)
        rotation.saw({tile: heat[tile] for tile in chosen})
        last.update(dict.fromkeys(chosen, frame))
        assert frame - min(last.values()) <= 2 * count


@given(st.integers(1, 700), st.integers(1, 700))
def test_what_is_fitted_comes_back_to_where_it_was(width: int, height: int) -> None:
    for how in ("letterbox", "stretch", "aspect"):
        table = InputTable(width=320, height=256, fit=how)
        fitted = fit(np.zeros((height, width, 3), np.uint8), table)
        rows, columns = fitted.image.shape[:2]
        assert rows % 32 == columns % 32 == 0
        whole = np.array([[0, 0, columns, rows]], np.float32)
        assert np.allclose(fitted.to_picture(whole), [[0, 0, width, height]], atol=0.01)
        assert fitted.shown(rows // 8, columns // 8, 8, None).any() or min(width, height) < 40


def test_a_model_that_is_not_as_it_says_is_refused_and_told_apart(tmp_path: Path) -> None:
    data = heat_graph()

    def reason(settings: str = HEAT_SETTINGS, graph: bytes = data, folder: str = "m") -> str:
        write_model(tmp_path / folder, graph, settings)
        with pytest.raises(ModelError) as refused:
            load_detector(tmp_path / folder)
        assert str(tmp_path) in refused.value.message
        return refused.value.reason

    assert reason(graph=b"not a graph") == ModelReason.UNREADABLE
    assert reason(graph=data[: len(data) // 2]) == ModelReason.UNREADABLE
    swapped = HEAT_SETTINGS.replace('"nhwc"', '"nchw"')
    assert reason(swapped) == ModelReason.WRONG_SHAPE
    floats = HEAT_SETTINGS.replace('"uint8"', '"float32"')
    assert reason(floats) == ModelReason.WRONG_SHAPE
    assert reason(HEAT_SETTINGS.split("[reference]")[0]) == ModelReason.WRONG_SHAPE
    third = HEAT_SETTINGS.replace('["smoke", "fire"]', '["smoke", "fire", "dust"]')
    assert reason(third) == ModelReason.UNKNOWN_HEAD
    other = YOLO.format(kind="yolov5", more="", head="")
    assert reason(other, box_graph("yolov8", 320, 256)) == ModelReason.UNKNOWN_HEAD
    assert reason(other, box_graph("yolov5", 256, 256)) == ModelReason.WRONG_SHAPE
    good = write_model(tmp_path / "good", data, HEAT_SETTINGS)
    (good / "trial.onnx").write_bytes(data + b"\0")
    with pytest.raises(ModelError, match="SHA-256") as changed:
        load_detector(good)
    assert changed.value.reason == ModelReason.WRONG_HASH
    (good / "trial.onnx").unlink()
    for missing in (good, "no-such-model"):
        with pytest.raises(ModelError) as gone:
            load_detector(missing)
        assert gone.value.reason == ModelReason.NOT_FOUND
    (good / "model.toml").unlink()
    with pytest.raises(ModelError, match=r"good holds no model\.toml") as empty:
        load_detector(f"{good}/")
    assert empty.value.reason == ModelReason.NOT_FOUND


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("yolov5", {"o": [[[9, 9, 5, 5, NAN, 1, 0]]]}),
        ("yolov5", {"o": [[[9, 9, 5, 5, 80.0, 0.01, 0]]]}),
        ("yolov8", {"o": [[[9], [9], [5], [5], [-7.0], [0]]]}),
        ("yolov10", {"o": [[[9, 9, 20, 20, 0.9, NAN]]]}),
        ("yolov10", {"o": [[[9, 9, 20, 20, 1.5, 0]]]}),
        ("yolox", {"o": np.full((1, 1680, 7), NAN)}),
        ("rt-detr", {"logits": [[[3, 3]]], "pred_boxes": [[[0.5, 0.5, NAN, 0.1]]]}),
        ("rt-detr", {"logits": [[[3, 3]]], "pred_boxes": [[[0.5, 0.5, float("inf"), 0.1]]]}),
        ("rt-detr", {"labels": [[0]], "boxes": [[[9, 9, 20, 20]]], "scores": [[90.0]]}),
        ("rt-detr", {"o": [[[0.5, 0.5, 0.1, 0.1, 3.0, -4.0]]]}),
    ],
)
def test_outputs_that_mean_nothing_are_refused_at_the_warm_up(
    tmp_path: Path, kind: str, outputs: dict[str, Any]
) -> None:
    more = "decoded = true\n" if kind == "yolox" else ""
    settings = YOLO.format(kind=kind, more="", head=more)
    write_model(tmp_path, told_graph(**outputs), settings)
    with pytest.raises(ModelError) as refused:
        load_detector(tmp_path)
    assert refused.value.reason == ModelReason.WRONG_VALUES
    assert str(tmp_path) in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("shift", [-0.004, 0.004])
def test_scores_that_rounding_took_a_little_beyond_are_cut(tmp_path: Path, shift: float) -> None:
    score = 1 + shift if shift > 0 else shift
    data = told_graph(o=[[[9, 9, 20, 20, score, 0], [40, 40, 60, 60, 0.5, 1]]])
    detector = load_detector(write_model(tmp_path, data, YOLO.format(kind="yolov10", more="", head="")))  # fmt: skip
    assert detector.detect(painted(320, 256)).scores == {"red": float(shift > 0), "blue": 0.5}


def test_as_many_boxes_as_scores_are_wanted(tmp_path: Path) -> None:
    data = told_graph(logits=np.full((1, 9, 2), 3.0), pred_boxes=np.full((1, 5, 4), 0.5))
    write_model(tmp_path, data, YOLO.format(kind="rt-detr", more="", head=""))
    with pytest.raises(ModelError, match=r"logits \[1, n, 2\] and pred_boxes") as refused:
        load_detector(tmp_path)
    assert refused.value.reason == ModelReason.UNKNOWN_HEAD


@given(
    st.sampled_from(["yolov5", "yolov8", "yolov10", "yolox", "rt-detr", "heat-map"]),
    st.dictionaries(
        st.sampled_from(["heat", "size", "score", "labels", "boxes", "scores", "logits", "pred_boxes"]),
        st.lists(st.sampled_from([0, 1, 2, 4, 6, 7]), max_size=4),
        max_size=3,
    ),
)  # fmt: skip
@example("heat-map", {"heat": [1, 2, 8, 8], "size": [0, 2, 8, 8], "score": [1, 2]})
@example("rt-detr", {"labels": [1, 7], "boxes": [1, 7, 4], "scores": [1, 6]})
@example("rt-detr", {"logits": [1, 7, 2], "pred_boxes": [1, 6, 4]})
@example("yolov8", {})
def test_outputs_of_any_form_are_read_or_refused(kind: Any, shapes: dict[str, list[int]]) -> None:
    ours: dict[str, Any] = {"score": "graph", "boxes": "centres"} if kind == "heat-map" else {}
    table = HeadTable(kind=kind, **ours)
    head = _head(table, 2, Unit(table))
    fitted = fit(painted(64, 64), InputTable(width=64, height=64, overlap=16, fit="stretch"))
    outputs = {name: np.full(shape, 0.9, np.float32) for name, shape in shapes.items()}
    with suppress(LayoutError, ValuesError):
        head.read(outputs, fitted, None)


@pytest.mark.parametrize("gain", [NAN, 3.0, -3.0])
def test_heat_that_means_nothing_is_a_failed_look_and_never_a_quiet_one(
    tmp_path: Path, gain: float
) -> None:
    folder = write_model(tmp_path, heat_graph(at_full_light=gain), HEAT_SETTINGS)
    sight = Sight(load_detector(folder))
    assert sight.see(painted(320, 256, ((0, 0, 254), 0, 0, 64, 64)), 0).scores["fire"] > 0.9
    with pytest.raises(ModelError) as failed:
        sight.see(painted(320, 256, (RED, 0, 0, 64, 64)), 0)
    assert failed.value.reason == ModelReason.WRONG_VALUES


def test_every_mistake_in_a_model_file_is_named_with_its_line(tmp_path: Path) -> None:
    text = HEAT_SETTINGS.replace("heat-map", "heatmap").replace("width = 320", "width = 321")
    write_model(tmp_path, heat_graph(), text + "\n[int8]\nfile = '../x.onnx'\nsha256 = 'ab'\n")
    with pytest.raises(ConfigError) as refused:
        load_detector(tmp_path)
    told = refused.value.message
    assert "model.toml:15: head.kind" in told
    assert "heat-map" in told
    assert "int8.file" in told
    assert "int8.sha256" in told


def test_the_smaller_variant_is_taken_when_it_is_asked_for(tmp_path: Path) -> None:
    data = heat_graph(score=True)
    folder = write_model(tmp_path, heat_graph(), HEAT_SETTINGS)
    with pytest.raises(ModelError, match="8-bit"):
        load_detector(folder, variant="int8")
    import hashlib

    (folder / "small.onnx").write_bytes(data)
    with (folder / "model.toml").open("a") as file:
        file.write(f'[int8]\nfile = "small.onnx"\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n')
    assert load_detector(folder, variant="int8").variant == "int8"
    assert load_detector(folder, variant="fp32").variant == "fp32"


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_pictures_of_any_shape_harm_nothing(tmp_path: Path, size: tuple[int, int]) -> None:
    detector = load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS))
    found = detector.detect(painted(*size))
    assert found.boxes == ()


def test_a_newer_version_takes_over_between_frames_and_a_failing_one_gives_back(
    tmp_path: Path,
) -> None:
    told: list[Change] = []
    slot = Slot(
        load_detector(write_model(tmp_path / "1", heat_graph(), HEAT_SETTINGS)), told.append
    )
    sights = [Sight(slot), Sight(slot)]
    picture = painted(640, 512, (RED, 0, 0, 64, 64))

    def fire() -> list[float]:
        return [round(s.see(picture, 0).scores["fire"], 2) for s in sights]

    def newer(number: str, data: bytes, settings: str = HEAT_SETTINGS) -> Path:
        folder = write_model(tmp_path / number, data, settings)
        text = (folder / "model.toml").read_text().replace('version = "1"', f'version = "{number}"')
        (folder / "model.toml").write_text(text)
        return folder

    assert fire() == [1.0, 1.0]
    assert slot.looking == Looking("trial 1", on_trial=False)
    slot.offer(newer("2", heat_graph(gain=0.5)))
    assert fire() == [0.5, 0.5]
    assert slot.looking == Looking("trial 2", on_trial=True)
    for wrong, settings in (
        (b"nothing", HEAT_SETTINGS),
        (heat_graph(), HEAT_SETTINGS.replace('"fire"', '"flame"')),
    ):
        with pytest.raises(ModelError):
            slot.offer(newer("3", wrong, settings))
        assert fire() == [0.5, 0.5]
    slot.offer(newer("4", heat_graph(fails=True)))
    assert fire() == [0.5, 0.5]
    slot.offer(newer("5", heat_graph(gain=0.25)))
    for _ in range(TRIAL_FRAMES // 2):
        assert slot.looking == Looking("trial 5", on_trial=True)
        assert fire() == [0.25, 0.25]
    assert slot.looking == Looking("trial 5", on_trial=False)
    assert [(c.kind, c.version, c.before) for c in told] == [
        ("model.swapped", "2", "1"), ("model.swapped", "4", "2"), ("model.fell-back", "2", "4"),
        ("model.swapped", "5", "2"),
    ]  # fmt: skip
    assert told[2].why
    slot.offer(newer("7", heat_graph(at_full_light=NAN)))
    assert fire() == [0.25, 0.25]
    assert "NaN" in told[-1].why
    alone = Slot(load_detector(newer("6", heat_graph(fails=True))))
    with pytest.raises(ModelError) as failed:
        Sight(alone).see(picture, 0)
    assert failed.value.reason == ModelReason.RUN_FAILED


def test_without_the_extra_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path, heat_graph(), HEAT_SETTINGS)
    for module in ("edge.vision.nn.graph", "edge.vision.nn.session"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as missing:
        load_detector(folder)
    assert (missing.value.module, missing.value.extra) == ("onnxruntime", "vision")
    assert "tocsin[vision]" in missing.value.hint
