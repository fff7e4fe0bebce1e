"""Measures against slow counting by hand, and `tocsin vision eval` and `detect` on pictures with known answers."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.evaluate.matching import match
from edge.vision.evaluate.measures import auc, average_precision, interval
from edge.vision.observation import Box
from tests.edge.vision.graphs import HEAT_SETTINGS, box_graph, heat_graph, write_model
from tests.edge.vision.scenes import write_clip
from tocsin.cli.root import dispatch

RED = (0, 0, 255)
scored = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), st.booleans()), min_size=1)


@given(scored)
def test_auc_counts_pairs_and_average_precision_adds_up_thresholds(
    pairs: list[tuple[float, bool]],
) -> None:
    scores, positive = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs])
    good, bad = scores[positive], scores[~positive]
    wins = [float(g > b) + 0.5 * float(g == b) for g, b in itertools.product(good, bad)]
    assert auc(scores, positive) == pytest.approx(np.mean(wins) if wins else np.nan, nan_ok=True)
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        now = (taken & positive).sum() / max(len(good), 1)
        total += (taken & positive).sum() / taken.sum() * (now - recall)
        recall = now
    wanted = total if len(good) else np.nan
    assert average_precision(scores, positive) == pytest.approx(wanted, nan_ok=True)


def test_the_interval_draws_whole_cameras() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50 + [0.5] * 2)
    groups = ["a"] * 50 + ["b"] * 50 + ["c"] * 2
    found = interval(groups, lambda i: float(values[i].mean()))
    assert found is not None
    assert found[0] < 0.1
    assert found[1] > 0.9
    assert interval(["a"] * 102, lambda i: float(values[i].mean())) is None


def box(score: float, x: float, y: float, width: float = 10, height: float = 10) -> Box:
    return Box("fire", score, x, y, width, height)


def test_a_labelled_box_is_hit_once_and_boxes_in_ignored_regions_count_neither_way() -> None:
    truth, ignored = [box(1, 0, 0), box(1, 100, 0)], [box(1, 200, 200, 50, 50)]
    found = [box(0.9, 1, 0), box(0.8, 0, 1), box(0.7, 96, 0), box(0.6, 198, 205), box(0.5, 60, 60)]
    assert match(found, truth, ignored, 0.3) == (2, 2)
    assert match(found, truth, ignored, 0.5) == (1, 3)
    assert match([], truth, ignored, 0.5) == (0, 0)


Where = tuple[int, int, int, int]


class Set:
    """A labelled set that is being made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder / "images", folder / "coco.json"
        self.folder.mkdir()
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(
        self,
        name: str,
        group: str,
        *,
        fire: Where | None = None,
        shown: float = 1.0,
        lamp: Where | None = None,
        ignored: Where | None = None,
        data: bytes | None = None,
    ) -> None:
        """A picture of 320 x 256; `shown` is how bright its fire is, a `lamp` is as red and nothing is labelled."""
        picture = np.full((256, 320, 3), 40, np.uint8)
        for place, light in ((fire, shown), (lamp, 1.0)):
            if place is not None:
                x, y, w, h = place
                picture[y : y + h, x : x + w] = [0, 0, int(255 * light)]
        (self.folder / name).write_bytes(
            data if data is not None else cv2.imencode(".png", picture)[1].tobytes()
        )
        number = len(self.images) + 1
        self.images.append(
            {"id": number, "file_name": name, "width": 320, "height": 256, "group": group, "source": "made"}
        )  # fmt: skip
        for place, crowd in ((fire, 0), (ignored, 1)):
            if place is not None:
                self.annotations.append(
                    {"id": len(self.annotations), "image_id": number, "category_id": 2, "bbox": place, "iscrowd": crowd}
                )  # fmt: skip

    def write(self) -> list[str]:
        """The options that name it."""
        categories = [{"id": 1, "name": "smoke"}, {"id": 2, "name": "fire"}]
        told = {"images": self.images, "annotations": self.annotations, "categories": categories}
        self.file.write_text(json.dumps(told))
        return ["--coco", str(self.file), "--images", str(self.folder)]


def teaches(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 0


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS))


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = dispatch(["vision", *argv])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_eval_calibrates_on_one_half_scores_the_other_and_agrees_with_counting_by_hand(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Set(tmp_path)
    rng = np.random.default_rng(3)
    for camera, count in (("a", 40), ("b", 30), ("c", 6)):
        for i in range(count):
            lamp = (64, 64, 64, int(rng.integers(1, 12))) if camera == "b" else None
            made.add(f"{camera}{i:03}.png", camera, lamp=lamp)
        for i in range(count, count + 10):
            made.add(f"{camera}{i:03}.png", camera, fire=(160, 128, 32, 32), shown=0.1 + 0.09 * (i - count))  # fmt: skip
    made.add("a900.png", "a", lamp=(160, 0, 64, 64), ignored=(128, 0, 128, 96))
    options = made.write()
    lines = tmp_path / "scores.ndjson"
    code, out, _ = run(
        ["eval", "--model", model, *options, "--json", "--scores", str(lines)], capsys
    )
    assert code == 0
    report = json.loads(out)
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [f["calibration"] for f in frames] == [f["quiet"] and teaches(f["file"]) for f in frames]
    ignored = next(f for f in frames if f["file"] == "a900.png")
    assert ignored["scores"]["fire"] == 0
    assert ignored["boxes"] == []

    kept = [f for f in frames if not f["calibration"]]
    assert report["scored"] == len(kept)
    good = [f["scores"]["fire"] for f in kept if not f["quiet"]]
    bad = [f["scores"]["fire"] for f in kept if f["quiet"]]
    pairs = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
    assert report["classes"]["fire"]["auc"] == pytest.approx(np.mean(pairs))
    assert report["uncalibrated"] == ["c"]
    limits = {c["group"]: c["classes"]["fire"]["threshold"] for c in report["cameras"]}
    calm = [f for f in kept if f["group"] != "c"]
    raised = [f["scores"]["fire"] > limits[f["group"]] for f in calm]
    hits = [r for r, f in zip(raised, calm, strict=True) if not f["quiet"]]
    false = [r for r, f in zip(raised, calm, strict=True) if f["quiet"]]
    fire = report["classes"]["fire"]
    assert fire["calibrated_recall"] == pytest.approx(np.mean(hits))
    assert fire["false_frame_rate"] == pytest.approx(np.mean(false))
    assert limits["b"] > limits["a"], "a lamp in sight makes the threshold higher"
    assert report["any"]["calibrated_recall"] == fire["calibrated_recall"]
    tight = fire["boxes"]["0.5"]
    assert tight["labelled"] == 30
    assert 0 < tight["hits"] == sum(len(f["boxes"]) for f in frames if not f["quiet"])
    assert report["unknown_classes"] == []

    code, out, _ = run(["eval", "--model", model, *options], capsys)
    assert code == 0
    assert "not calibrated" in out


def test_names_in_a_labelled_set_can_do_nothing_to_a_terminal(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made, bad = Set(tmp_path), "\x1b[31mred\x07\n end"
    for i in range(4):
        made.add(f"{i}.png", f"x{bad}", fire=(160, 128, 32, 32))
    made.add("broken.png", "a", data=b"")
    made.images[-1]["file_name"] = f"broken{bad}.png"
    options = made.write()
    told = json.loads(made.file.read_text())
    told["categories"].append({"id": 3, "name": f"steam{bad}"})
    for number, bbox in ((1, [0, 0, 9, 9]), (2, [900, 900, 9, 9])):
        told["annotations"].append(
            {"id": 90 + number, "image_id": number, "category_id": 3, "bbox": bbox}
        )
    made.file.write_text(json.dumps(told))
    code, out, err = run(["eval", "--model", model, *options], capsys)
    assert code == 0, err
    for name in ("\nx", "\nskipped broken", "unknown to the model: steam"):
        assert f"{name}?[31mred?? end" in out
    assert all(c == "\n" or c.isprintable() for c in out + err)


def test_a_class_that_is_nowhere_labelled_still_counts_its_false_frames(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Set(tmp_path)
    names = [f"{i:03}.png" for i in range(60)]
    lamp = next(n for n in reversed(names) if not teaches(n))
    for name in names:
        made.add(name, "a", lamp=(160, 128, 32, 32) if name == lamp else None)
    code, out, _ = run(["eval", "--model", model, *made.write(), "--json"], capsys)
    report = json.loads(out)
    assert code == 0
    assert report["classes"]["fire"]["false_frames"] == 1
    assert report["any"]["false_frames"] == 1
    assert "smoke" in report["classes"]


def test_the_scored_half_never_moves_a_threshold(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = []
    for lamps in (False, True):
        folder = tmp_path / str(lamps)
        folder.mkdir()
        made = Set(folder)
        for i in range(30):
            name = f"{i:03}.png"
            made.add(name, "a", lamp=(0, 0, 64, 64) if lamps and not teaches(name) else None)
        code, out, _ = run(["eval", "--model", model, *made.write(), "--json"], capsys)
        assert code == 0
        (camera,) = json.loads(out)["cameras"]
        limits.append(camera["classes"]["fire"]["threshold"])
    assert limits[0] == limits[1]


def huge_png() -> bytes:
    """20000 x 10000 px in a few bytes."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # fmt: skip

    head = struct.pack(">IIBBBBB", 20000, 10000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", b"") + part(b"IEND", b"")


def test_pictures_that_cannot_be_looked_at_are_skipped_and_counted(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Set(tmp_path)
    jpeg = cv2.imencode(".jpg", np.full((256, 320, 3), 90, np.uint8))[1].tobytes()
    made.add("cut.jpg", "a", data=jpeg[: len(jpeg) // 2])
    made.add("huge.png", "a", data=huge_png())
    made.add("no.jpg", "a", data=b"hello")
    made.add("one.png", "a", data=cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes())
    made.add("other.png", "a", data=cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())  # fmt: skip
    deep = cv2.imencode(".png", np.full((256, 320), 29315, np.uint16))[1].tobytes()
    made.add("deep.png", "a", data=deep)
    made.add("vast.jpg", "a", data=jpeg)
    os.truncate(made.folder / "vast.jpg", 20 << 30)
    made.add("right.png", "a", fire=(0, 0, 64, 64))
    long = "a" * 5000 + ".jpg"
    made.images.append(made.images[-1] | {"id": 99, "file_name": long})
    code, out, _ = run(["eval", "--model", model, *made.write(), "--json"], capsys)
    assert code == 0
    report = json.loads(out)
    assert {s["file"]: s["reason"] for s in report["skipped"]} == {
        "cut.jpg": "truncated", "huge.png": "too-large", "no.jpg": "unreadable", "one.png": "too-small",
        "other.png": "another-size", "deep.png": "16-bit", "vast.jpg": "too-large",
        long: "missing",
    }  # fmt: skip
    assert (report["frames"], report["scored"]) == (9, 1)
    for file in ("cut.jpg", "huge.png", "vast.jpg", "no.jpg", "one.png"):
        code, out, _ = run(["detect", str(made.folder / file), "--model", model, "--json"], capsys)
        error = json.loads(out)["error"]
        assert (code, error["code"]) == (9, "vision.picture")
        assert file in error["message"]
        assert error["hint"]


def test_mistakes_in_a_labelled_set_are_named_with_their_place(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Set(tmp_path)
    made.add("a.png", "a", fire=(0, 0, 64, 64))
    options = made.write()
    right = json.loads(made.file.read_text())

    def told(change: Any) -> str:
        wrong = json.loads(json.dumps(right))
        text = change(wrong)
        made.file.write_text(text if isinstance(text, str) else json.dumps(wrong))
        code, out, _ = run(["eval", "--model", model, *options, "--json"], capsys)
        assert code == 3
        error = json.loads(out)["error"]
        assert error["code"] == "vision.dataset"
        return str(error["message"])

    assert "coco.json:2 is not JSON" in told(lambda _: '{\n"images": oh\n}')
    assert "images[0].width" in told(lambda d: d["images"][0].update(width="wide"))
    assert "annotations[0] (id 0): image_id 77" in told(
        lambda d: d["annotations"][0].update(image_id=77)
    )
    assert "annotations[0] (id 0): category_id 9" in told(lambda d: d["annotations"][0].update(category_id=9))  # fmt: skip
    assert "annotations[0].bbox" in told(lambda d: d["annotations"][0].update(bbox=[1, 1, 5]))
    assert "leads out" in told(lambda d: d["images"][0].update(file_name="../a.png"))
    assert "the id 1 2 times" in told(lambda d: d["images"].append(d["images"][0]))
    assert "images is empty" in told(lambda d: d.update(images=[]))
    assert "the first is b.png" in told(lambda d: d["images"][0].update(file_name="b.png"))
    code, out, _ = run(["eval", "--model", "nobody", *options, "--json"], capsys)
    assert (code, json.loads(out)["error"]["code"]) == (3, "vision.model")


def test_detect_draws_what_it_finds_in_pictures_of_odd_sizes(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = np.full((301, 517, 3), 40, np.uint8)
    picture[100:200, 200:300] = RED
    file, drawn = tmp_path / "in.png", tmp_path / "out.jpg"
    cv2.imwrite(str(file), picture)
    code, out, _ = run(["detect", str(file), "--draw", str(drawn), "--model", model, "--json"], capsys)  # fmt: skip
    assert code == 0
    found = json.loads(out)
    (box,) = found["boxes"]
    assert abs(box["x"] - 200) < 15
    assert abs(box["width"] - 100) < 30
    shown = cv2.imread(str(drawn))
    assert shown is not None
    assert shown.shape == picture.shape
    changed = np.abs(shown.astype(int) - picture).max(axis=2) > 90
    assert changed[round(box["y"]), 205:295].mean() > 0.5
    code, out, _ = run(["detect", str(file), "--draw", "x.nothing", "--model", model], capsys)
    assert code == 3


def test_detect_tells_a_video_frame_by_frame_and_a_cut_one_up_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (
        'classes = ["red", "blue"]\n[input]\nwidth = 320\nheight = 256\n[head]\nkind = "yolov8"\n'
    )
    model = str(write_model(tmp_path / "boxes", box_graph("yolov8", 320, 256), settings))
    clip, drawn = tmp_path / "clip.avi", tmp_path / "out.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (322, 182))
    for i in range(12):
        picture = np.full((182, 322, 3), 40, np.uint8)
        picture[60:120, 20 * i : 20 * i + 60] = RED
        writer.write(picture)
    writer.release()
    code, out, err = run(["detect", str(clip), "--draw", str(drawn), "--model", model, "--json"], capsys)  # fmt: skip
    assert (code, err) == (0, "")
    frames = [json.loads(line) for line in out.splitlines()]
    assert [f["frame"] for f in frames] == list(range(12))
    assert [f["boxes"][0]["x"] for f in frames] == pytest.approx([20 * i for i in range(12)], abs=6)
    assert frames[5]["at_s"] == pytest.approx(0.5)
    again = cv2.VideoCapture(str(drawn))
    assert sum(again.grab() for _ in range(20)) == 12
    again.release()
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    code, out, _ = run(["detect", str(clip), "--model", model, "--json", "--every", "2"], capsys)
    assert code == 0
    cut = [json.loads(line) for line in out.splitlines()]
    assert 2 <= len(cut) < 6
    assert [f["frame"] for f in cut] == list(range(0, 2 * len(cut), 2))
    clip.write_bytes(data[:100])
    code, out, _ = run(["detect", str(clip), "--model", model, "--json"], capsys)
    assert (code, json.loads(out)["error"]["code"]) == (9, "vision.picture")
    write_clip(clip.with_suffix(".mp4"), 3)
    code, out, _ = run(["detect", str(clip.with_suffix(".mp4")), "--model", model], capsys)
    assert code == 0
    assert "3 frames, 6 boxes, 0 frames skipped" in out
