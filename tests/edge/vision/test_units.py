"""YOLO exports that tell their boxes in shares of the input: read where model.toml says so, and refused where it says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.frame import Picture
from edge.vision.nn.fit import fit
from edge.vision.nn.heads.head import ValuesError
from edge.vision.nn.heads.unit import Unit
from edge.vision.nn.settings import HeadTable, InputTable
from tests.edge.vision.graphs import box_graph, lone_graph, told_graph, write_model
from tests.edge.vision.scenes import scene
from tocsin.cli.root import dispatch

KINDS = ["yolov5", "yolov8", "yolov10", "yolox"]
SHARES = 'unit = "shares"\n'
BOX = (200, 100, 90, 60)


def settings(kind: str, head: str = "") -> str:
    decoded = "decoded = true\n" if kind == "yolox" else ""
    return f'classes = ["red", "blue"]\n[input]\nwidth = 320\nheight = 256\n[head]\nkind = "{kind}"\n{decoded}{head}'


def graph(kind: str, **more: Any) -> bytes:
    return box_graph("yolox decoded" if kind == "yolox" else kind, 320, 256, **more)


def dense(places: NDArray[Any]) -> bytes:
    """YOLO11's many rows, of which none is sure of anything, with their centres there."""
    sizes, scores = np.full((40, 2), 0.5), np.full((40, 2), 1e-5)
    return told_graph(o=np.concatenate([places, sizes, scores], axis=1).T[None])


ACROSS = np.linspace([0.01, 0.01], [0.99, 0.99], 40)


class Bench:
    """A model and a picture with a red rectangle, through `tocsin vision detect`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def detect(self, data: bytes, toml: str, colour: tuple[int, int, int] = (0, 0, 255)) -> tuple[int, dict[str, Any]]:  # fmt: skip
        picture = np.full((300, 500, 3), 40, np.uint8)
        x, y, width, height = BOX
        picture[y : y + height, x : x + width] = colour
        file = self._folder / "picture.png"
        cv2.imwrite(str(file), picture)
        model = write_model(self._folder / "model", data, toml)
        code = dispatch(["vision", "detect", str(file), "--model", str(model), "--json"])
        told: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return code, told

    def refused(self, data: bytes, toml: str) -> dict[str, Any]:
        code, told = self.detect(data, toml)
        assert code == 3
        error: dict[str, Any] = told["error"]
        assert error["code"] == "vision.model"
        assert str(self._folder) in error["message"]
        return error


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit", ["", 'fit = "stretch"\n'])
def test_boxes_in_shares_of_the_input_are_found_where_they_are(
    bench: Bench, kind: str, fit: str
) -> None:
    toml = settings(kind, SHARES).replace("[head]", f"{fit}[head]")
    code, told = bench.detect(graph(kind, shares=True), toml)
    assert code == 0
    box = told["boxes"][0]
    assert (box["x"], box["y"], box["width"], box["height"]) == pytest.approx(BOX, abs=4)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_that_are_taken_for_px_are_refused_with_the_setting_that_mends_it(
    bench: Bench, kind: str
) -> None:
    error = bench.refused(graph(kind, shares=True), settings(kind))
    assert "as shares of the input (0 to 1) do" in error["message"]
    assert '[head] unit = "shares"' in error["hint"]
    assert ("decoded" in error["hint"]) == (kind == "yolox")


@pytest.mark.parametrize("kind", KINDS)
def test_px_that_are_taken_for_shares_are_refused_with_the_setting_that_mends_it(
    bench: Bench, kind: str
) -> None:
    error = bench.refused(graph(kind), settings(kind, SHARES))
    assert "boxes beyond its input" in error["message"]
    assert '[head] unit = "px"' in error["hint"]


def test_many_rows_tell_their_unit_at_the_warm_up_however_unsure_they_are(bench: Bench) -> None:
    assert "as shares" in bench.refused(dense(ACROSS), settings("yolov8"))["message"]
    assert "beyond" in bench.refused(dense(ACROSS * 256), settings("yolov8", SHARES))["message"]
    for places, head in ((ACROSS * 256, ""), (ACROSS, SHARES)):
        code, told = bench.detect(dense(places), settings("yolov8", head))
        assert (code, told["boxes"]) == (0, [])


def test_a_graph_that_finds_nothing_at_the_warm_up_is_refused_at_the_first_two_things_it_finds(
    bench: Bench,
) -> None:
    rows = [[0.2, 0.3, 0.4, 0.5, 0.9, 0], [0.6, 0.3, 0.8, 0.5, 0.7, 1]]
    data = told_graph(lit=True, o=[rows])
    dark = (0, 0, 200)
    code, told = bench.detect(data, settings("yolov10"), dark)
    assert (code, told["boxes"]) == (0, [])
    assert "as shares" in bench.refused(data, settings("yolov10"))["message"]
    code, told = bench.detect(data, settings("yolov10", SHARES))
    assert (code, len(told["boxes"])) == (0, 2)


def places(*boxes: list[float]) -> list[NDArray[np.float32]]:
    return [np.array([box], np.float32) for box in boxes]


def frames_until_refused(frames: list[NDArray[np.float32]]) -> int | None:
    unit = Unit(HeadTable(kind="yolov10"))
    unit.tried = True
    fitted = fit(scene(320, 256), InputTable(width=320, height=256))
    for i, boxes in enumerate(frames):
        try:
            unit.px(boxes, np.full(len(boxes), 0.9, np.float32), fitted)
        except ValuesError:
            return i
    return None


EVERYWHERE = places(
    [0.05, 0.1, 0.95, 0.9], [0.1, 0.2, 0.3, 0.5], [0.12, 0.2, 0.33, 0.5], [0.6, 0.2, 0.8, 0.4], [0.4, 0.6, 0.6, 0.99],
)  # fmt: skip


def test_single_boxes_that_lie_at_three_places_in_as_many_frames_are_shares() -> None:
    assert frames_until_refused(EVERYWHERE) == 4
    nothing = np.zeros((0, 4), np.float32)
    assert frames_until_refused([nothing, *EVERYWHERE[1:]]) == 4
    in_px = np.array([[100, 100, 130, 120]], np.float32)
    assert frames_until_refused([*EVERYWHERE[:4], in_px, *EVERYWHERE]) is None


def test_a_model_that_is_found_out_is_refused_at_frames_without_boxes_too_until_one_is_in_px() -> None:  # fmt: skip
    unit = Unit(HeadTable(kind="yolov10"))
    unit.tried = True
    fitted = fit(scene(320, 256), InputTable(width=320, height=256))
    sure, nothing = np.full(1, 0.9, np.float32), np.zeros((0, 4), np.float32)
    for boxes in EVERYWHERE[:-1]:
        unit.px(boxes, sure, fitted)
    for boxes in (EVERYWHERE[-1], nothing):
        with pytest.raises(ValuesError, match="as shares"):
            unit.px(boxes, sure[: len(boxes)], fitted)
    unit.px(np.array([[100, 100, 130, 120]], np.float32), sure, fitted)
    assert len(unit.px(nothing, sure[:0], fitted)) == 0


def test_a_pixel_burnt_into_the_corner_whose_box_trembles_is_none_however_long() -> None:
    rng = np.random.default_rng(4)
    frames = []
    for _ in range(20_000):
        x, y = rng.uniform(0, 0.6, 2)
        width, height = rng.uniform(0.6, 1.4, 2)
        frames.append(np.array([[x, y, x + width, y + height]], np.float32))
    assert frames_until_refused(frames) is None
    still = places([0, 0, 0.4, 0.4], [0.6, 0.6, 1.0, 1.0])
    assert frames_until_refused(still * 50) is None, "two in the same px"


def test_a_model_that_takes_shares_for_px_is_refused_at_the_third_place_of_a_thing_that_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lapse = tmp_path / "lapse"
    lapse.mkdir()
    for i in range(9):
        picture = scene(320, 256, seed=i) // 2
        picture[100:140, 35 * i : 35 * i + 35] = 255
        cv2.imwrite(str(lapse / f"{i}.png"), picture)
    data = lone_graph(320, 256)
    model = write_model(tmp_path / "model", data, settings("yolov10"))
    given = ["vision", "watch", str(lapse), "--model", str(model), "--json"]
    assert dispatch(given) == 3
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert '[head] unit = "shares"' in told["hint"]
    write_model(tmp_path / "model", data, settings("yolov10", SHARES))
    assert dispatch(given) == 0
    assert "9 judged" in capsys.readouterr().err


@pytest.mark.parametrize("beside", [[], [[0.2, 0.1, 1.4, 1.2, 0.8, 1]]], ids=["one", "two boxes of it"])  # fmt: skip
@pytest.mark.parametrize("side", [3.0, 1.0])
def test_a_pixel_burnt_into_the_corner_of_a_camera_fails_none_of_its_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], side: float, beside: list[list[float]]
) -> None:
    rows = [[0, 0, side, side, 0.95, 0], *beside]
    model = write_model(tmp_path / "model", told_graph(lit=True, o=[rows]), settings("yolov10"))
    lapse = tmp_path / "lapse"
    lapse.mkdir()
    for i in range(7):
        cv2.imwrite(str(lapse / f"{i}.png"), lit_scene(seed=i))
    assert dispatch(["vision", "watch", str(lapse), "--model", str(model), "--json"]) == 0
    assert "7 frames, 7 judged" in capsys.readouterr().err


def lit_scene(seed: int) -> Picture:
    picture = scene(320, 256, seed)
    picture[:8, :8] = 255
    return picture


def test_a_model_that_once_showed_a_box_in_px_is_never_refused_for_shares() -> None:
    unit = Unit(HeadTable(kind="yolov10"))
    unit.tried = True
    fitted = fit(scene(320, 256), InputTable(width=320, height=256))
    apart = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]], np.float32)
    sure = np.full(2, 0.9, np.float32)
    for odd in (np.array([[9, 9, 4, 4]], np.float32), np.array([[0, 0, np.inf, 1]], np.float32)):
        unit.px(odd, sure[:1], fitted)
        with pytest.raises(ValuesError, match="as shares"):
            unit.px(apart, sure, fitted)
    unit.px(np.array([[100, 100, 120, 130]], np.float32), np.array([0.01], np.float32), fitted)
    assert np.array_equal(unit.px(apart, sure, fitted), apart)


def test_a_tiny_thing_in_the_corner_beside_others_says_nothing_about_the_unit(bench: Bench) -> None:
    rows = [[0, 0, 1.5, 1.5, 0.9, 0], [40, 40, 60, 60, 0.3, 1]]
    code, told = bench.detect(told_graph(o=[rows]), settings("yolov10"))
    assert (code, len(told["boxes"])) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "head", "said"),
    [
        ("heat-map", SHARES, "head.unit"),
        ("rt-detr", 'unit = "px"\n', "goes with the kinds yolov5, yolov8, yolov10, yolox only"),
        ("yolov8", 'unit = "pixels"\n', 'must be one of "px", "shares"'),
        ("yolox", SHARES, '"shares" goes with decoded = true'),
    ],
)
def test_a_unit_that_means_nothing_is_a_mistake_with_its_line(
    bench: Bench, kind: str, head: str, said: str
) -> None:
    toml = settings(kind, head).replace("decoded = true\n", "")
    code, told = bench.detect(graph("yolov8"), toml)
    assert code == 3
    assert told["error"]["code"] != "vision.model"
    assert "model.toml:1" in told["error"]["message"]
    assert said in told["error"]["message"]
