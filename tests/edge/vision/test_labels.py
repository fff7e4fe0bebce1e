"""Labelled sets of many makers: what can be read is read, and a set that measures nothing is no success."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.cli.root import dispatch

FIRE = [64, 64, 64, 64]
OUTSIDE = [400, 64, 64, 64]


class Labels:
    """Pictures of 320 x 256 with a red square; `images`, `annotations` and `categories` go to the file as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "coco.json"
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: list[dict[str, Any]] = [{"id": 1, "name": "smoke"}, {"id": 2, "name": "fire"}]  # fmt: skip
        self.mark = ""
        self.model = str(write_model(folder / "model", heat_graph(), HEAT_SETTINGS))

    def add(self, name: str, *bboxes: object, group: object = "a", **more: object) -> None:
        picture = np.full((256, 320, 3), 40, np.uint8)
        if bboxes:
            picture[64:128, 64:128] = (0, 0, 255)
        cv2.imwrite(str(self.folder / name), picture)
        number = 100 + len(self.images)
        self.images.append({"id": number, "file_name": name, "width": 320, "height": 256, "group": group})  # fmt: skip
        for bbox in bboxes:
            note = {"id": 500 + len(self.annotations), "image_id": number, "category_id": 2, "bbox": bbox}  # fmt: skip
            self.annotations.append(note | more)

    def eval(self, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any], str]:  # fmt: skip
        told = {"images": self.images, "annotations": self.annotations, "categories": self.categories}  # fmt: skip
        self.file.write_text(self.mark + json.dumps(told), "utf-8")
        options = ["--coco", str(self.file), "--images", str(self.folder), "--json", *more]
        code = dispatch(["vision", "eval", "--model", self.model, *options])
        out, err = capsys.readouterr()
        found: dict[str, Any] = json.loads(out)
        return code, found, err


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return Labels(tmp_path)


def test_categories_compare_without_case_and_crowd_and_group_come_in_other_types(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.categories = [{"id": 1, "name": "Smoke"}, {"id": 2, "name": "FIRE"}]
    labels.add("a.png", FIRE, group=7, iscrowd=False)
    labels.add("b.png", FIRE, group=7, iscrowd=True)
    labels.add("c.png", FIRE, group=0, iscrowd=None)
    labels.images[2]["source"] = None
    code, report, err = labels.eval(capsys)
    assert (code, err) == (0, "")
    assert report["unknown_classes"] == []
    assert (report["classes"]["fire"]["positives"], list(report["classes"])) == (2, ["fire"])
    assert {c["group"] for c in report["cameras"]} == {"0", "7"}


def test_a_label_outside_its_picture_or_without_an_area_is_listed_and_counts_nowhere(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("a.png", FIRE)
    labels.add("b.png", FIRE, OUTSIDE, [-70, 64, 64, 64])
    labels.add("c.png", [64, 256, 10, 10])
    labels.add("e.png", [64, 64, 0, 10], [64, 64, 10, -10])
    labels.add("d.png", [300, 200, 64, 64])  # partly
    code, report, err = labels.eval(capsys)
    assert code == 0
    assert "warning: 5 labels mark nothing (outside their picture, or empty); the first is annotation 502 of b.png" in err  # fmt: skip
    listed = [(b["file"], b["annotation"], b["label"]) for b in report["bad_labels"]]
    assert listed == [
        ("b.png", 502, "fire"),
        ("b.png", 503, "fire"),
        ("c.png", 504, "fire"),
        ("e.png", 505, "fire"),
        ("e.png", 506, "fire"),
    ]
    assert report["skipped"] == [{"file": f, "reason": "bad-label"} for f in ("c.png", "e.png")]
    assert (report["frames"], report["scored"], report["classes"]["fire"]["positives"]) == (5, 3, 3)
    assert report["classes"]["fire"]["boxes"]["0.1"]["labelled"] == 3


def test_a_set_that_measures_nothing_is_no_success(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("a.png", FIRE)
    labels.add("b.png", FIRE)
    for image in labels.images:
        image["width"] = 640
    code, told, _ = labels.eval(capsys)
    assert (code, told["error"]["code"]) == (9, "vision.picture")
    assert "not one of 2 frames" in told["error"]["message"]
    assert "2 another-size; the first is a.png" in told["error"]["message"]
    assert "width and height" in told["error"]["hint"]
    for image in labels.images:
        image["width"] = 320
    labels.categories = [{"id": 2, "name": "vehicle"}]
    code, told, err = labels.eval(capsys)
    assert code == 9
    assert "no label is of a class of the model" in told["error"]["message"]
    assert "unknown to the model: vehicle" in err


def test_mistakes_name_images_and_annotations_by_their_ids(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("a.png", FIRE)
    labels.add("b.png", [1, float("nan"), 5, float("inf")])
    code, told, _ = labels.eval(capsys)
    assert (code, told["error"]["code"]) == (3, "vision.dataset")
    assert "annotations[1] (id 501): bbox [1, NaN, 5, inf] has what is no number" in told["error"]["message"]  # fmt: skip
    labels.annotations[1]["bbox"] = FIRE
    labels.images[1]["file_name"] = "./a.png"
    code, told, _ = labels.eval(capsys)
    assert code == 3
    assert "two images, id 100 and id 101" in told["error"]["message"]
    labels.images = labels.annotations = []
    code, told, _ = labels.eval(capsys)
    assert "images is empty" in told["error"]["message"]
    assert "train.json" in told["error"]["hint"]


def test_scores_that_cannot_be_written_are_refused_before_a_picture_is_read_and_never_go_over_the_labels(
    labels: Labels, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    labels.add("a.png", FIRE)
    (tmp_path / "a.png").unlink()  # who reads pictures first, says so first
    code, told, _ = labels.eval(capsys, "--scores", str(tmp_path / "none" / "scores.jsonl"))
    assert (code, told["error"]["code"]) == (3, "folder.unusable")
    assert str(tmp_path / "none") in told["error"]["message"]
    (tmp_path / "link.jsonl").symlink_to(labels.file)
    for name in ("coco.json", "link.jsonl"):
        code, told, _ = labels.eval(capsys, "--scores", str(tmp_path / name))
        assert code == 2
        assert "the very file that is read" in told["error"]["message"]
        assert json.loads(labels.file.read_text())["images"] == labels.images
    labels.add("a.png", FIRE)
    labels.images.pop()
    labels.annotations.pop()
    code, _, _ = labels.eval(capsys, "--scores", str(tmp_path / "scores.jsonl"))
    assert code == 0
    assert json.loads((tmp_path / "scores.jsonl").read_text())["file"] == "a.png"


@pytest.mark.parametrize("nothing", [None, ""])
def test_pictures_that_name_no_camera_are_taken_for_one_and_that_is_said(
    nothing: str | None, labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("a.png", FIRE)
    labels.add("b.png", FIRE, group=nothing)
    labels.add("c.png", FIRE)
    del labels.images[2]["group"]
    code, report, err = labels.eval(capsys)
    assert code == 0
    assert "warning: 2 images have no group" in err
    assert {c["group"]: c["frames"] for c in report["cameras"]} == {"a": 1, "all": 2}


def test_an_ignored_region_is_one_for_all_classes_whatever_its_category(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("b.png", FIRE, iscrowd=1)  # quiet, and not of the half that teaches
    for category in (1, 2):
        labels.annotations[0]["category_id"] = category
        _, report, _ = labels.eval(capsys, "--scores", str(labels.folder / "scores.jsonl"))
        (line,) = (labels.folder / "scores.jsonl").read_text().splitlines()
        assert max(json.loads(line)["scores"].values()) < 0.2
        assert report["any"]["boxes"]["0.1"]["false_boxes"] == 0
    labels.annotations.clear()
    _, report, _ = labels.eval(capsys)
    assert report["any"]["boxes"]["0.1"]["false_boxes"] == 1
    (camera,) = report["cameras"]
    assert camera["classes"]["fire"]["threshold"] == pytest.approx(0.5)
    assert camera["classes"]["any"]["threshold"] is None


def test_labels_that_windows_wrote_with_a_byte_order_mark_are_read(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("a.png", FIRE)
    labels.mark = "\N{ZERO WIDTH NO-BREAK SPACE}"
    code, report, _ = labels.eval(capsys)
    assert (code, report["scored"]) == (0, 1)
    labels.annotations[0]["bbox"] = [1, float("nan"), 5, 5]
    code, told, _ = labels.eval(capsys)
    assert code == 3
    assert "has what is no number" in told["error"]["message"]


def test_pictures_that_are_not_there_are_skipped_and_named_before_the_first_is_looked_at(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        labels.add(f"{i}.png", FIRE)
    for i in range(4):
        (labels.folder / f"{i}.png").unlink()
    code, report, err = labels.eval(capsys)
    assert code == 0
    assert "warning: 4 of 6 pictures are not in" in err
    assert err.rstrip().endswith("are skipped: 0.png, 1.png, 2.png, ...")
    assert report["skipped"] == [{"file": f"{i}.png", "reason": "missing"} for i in range(4)]
    assert (report["frames"], report["scored"]) == (6, 2)

    (labels.folder / "4.png").write_bytes(b"none")
    (labels.folder / "5.png").write_bytes(b"none")
    code, told, _ = labels.eval(capsys)
    assert code == 9
    assert "0 taught thresholds, 4 missing, 2 unreadable" in told["error"]["message"]
    assert "--images" in told["error"]["hint"]

    for i in (4, 5):
        (labels.folder / f"{i}.png").unlink()
    code, told, _ = labels.eval(capsys)
    assert (code, told["error"]["code"]) == (3, "vision.dataset")
    assert "not one of 6 pictures is in" in told["error"]["message"]
    assert "--images" in told["error"]["hint"]


def test_a_camera_all_of_whose_frames_were_skipped_is_in_the_report_with_their_number(
    labels: Labels, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.add("a.png", FIRE)
    labels.add("b1.png", FIRE, group="b")
    labels.add("b2.png", group="b")
    labels.add("c1.png", FIRE, group="c")
    labels.add("c2.png", FIRE, group="c")
    for name in ("b1.png", "b2.png", "c1.png"):
        (labels.folder / name).write_bytes(b"none")
    labels.images[2]["source"] = labels.images[1]["source"] = "mast"
    code, report, _ = labels.eval(capsys)
    assert code == 0
    counts = ("frames", "scored", "skipped", "quiet_frames", "source", "calibrated")
    assert {c["group"]: tuple(c[k] for k in counts) for c in report["cameras"]} == {
        "a": (1, 1, 0, 0, "", False),
        "b": (2, 0, 2, 0, "mast", False),
        "c": (2, 1, 1, 0, "", False),
    }
    assert report["uncalibrated"] == ["a", "b", "c"]
    silent = report["cameras"][1]["classes"]["fire"]
    assert (silent["auc"], silent["recall"], silent["positives"]) == (None, None, 0)
    assert dispatch(["vision", "eval", "--model", labels.model, "--coco", str(labels.file), "--images", str(labels.folder)]) == 0  # fmt: skip
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("b "))
    assert row.split()[:4] == ["b", "0", "2", "0"]
