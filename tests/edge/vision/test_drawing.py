"""`tocsin vision detect --draw`: what is read is never written over, and a stopped run says what it left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.edge.vision.graphs import box_graph, write_model
from tests.edge.vision.scenes import number_of, oriented, scene, write_clip
from tocsin.cli.root import dispatch

SETTINGS = (
    'classes = ["red", "blue"]\n[input]\nwidth = 320\nheight = 256\n[head]\nkind = "yolov8"\n'
)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "boxes", box_graph("yolov8", 320, 256), SETTINGS))


@pytest.fixture(params=["clip.mp4", "picture.png"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    file = folder / str(request.param)
    if file.suffix == ".mp4":
        write_clip(file, 5)
    else:
        cv2.imwrite(str(file), scene())
    return file


def frames_of(video: Path) -> list[int]:
    capture, found = cv2.VideoCapture(str(video)), list[int]()
    while True:
        ok, picture = capture.read()
        if not ok:
            capture.release()
            return found
        found.append(number_of(np.asarray(picture, np.uint8)))


def test_what_is_read_is_not_written_over_by_any_of_its_names(
    source: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = source.read_bytes()
    soft, hard = tmp_path / f"soft{source.suffix}", tmp_path / f"hard{source.suffix}"
    soft.symlink_to(source)
    hard.hardlink_to(source)
    for read, out in ((source, source), (source, soft), (source, hard), (soft, source)):
        code = dispatch(["vision", "detect", str(read), "--draw", str(out), "--model", model])
        told = capsys.readouterr()
        assert code == 2, told
        assert "very file that is read" in told.err
    folder = source.parent
    assert dispatch(["vision", "detect", str(source), "--draw", str(folder), "--model", model]) == 3
    assert "is a folder" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert list(folder.iterdir()) == [source]


def test_an_older_drawing_is_replaced_whole_and_no_draft_stays(
    source: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "out"
    into.mkdir()
    older = tmp_path / f"older{source.suffix}"
    older.write_bytes(b"older")
    out = into / f"drawn{source.suffix}"
    out.symlink_to(older)
    code = dispatch(["vision", "detect", str(source), "--draw", str(out), "--model", model])
    assert (code, capsys.readouterr().err) == (0, "")
    assert list(into.iterdir()) == [out]
    assert out.is_symlink()
    if source.suffix == ".mp4":
        assert frames_of(older) == list(range(5))
    else:
        assert cv2.imread(str(older)) is not None


def test_a_run_that_is_stopped_says_what_it_left_and_leaves_the_older_drawing(
    model: str, tmp_path: Path
) -> None:
    clip, out, draft = tmp_path / "clip.mp4", tmp_path / "drawn.mp4", tmp_path / "drawn.part.mp4"
    write_clip(clip, 600)
    out.write_bytes(b"older")
    draft.write_bytes(b"of another run")
    argv = ["detect", str(clip), "--draw", str(out), "--model", model, "--json"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(  # nobody reads its lines: it waits long before its end
        [sys.executable, "-m", "tocsin.cli", "vision", *argv], stdout=pipe, stderr=pipe, text=True
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    left = tmp_path / "drawn.part2.mp4"
    said = re.search(rf"{re.escape(str(left))} has the first (\d+) frames", told)
    assert said is not None, told
    assert f"{out} was not written" in told
    assert frames_of(left) == list(range(int(said[1])))
    assert out.read_bytes() == b"older"
    assert draft.read_bytes() == b"of another run"


@pytest.mark.parametrize(
    ("number", "turned"),
    [(3, cv2.ROTATE_180), (6, cv2.ROTATE_90_COUNTERCLOCKWISE), (8, cv2.ROTATE_90_CLOCKWISE)],
)
def test_a_picture_that_lies_on_its_side_is_looked_at_and_drawn_upright(
    number: int, turned: int, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = np.full((256, 320, 3), 40, np.uint8)
    picture[32:96, 200:264] = (0, 0, 255)
    file, drawn = tmp_path / "phone.jpg", tmp_path / "drawn.png"
    jpeg = cv2.imencode(".jpg", cv2.rotate(picture, turned))[1].tobytes()
    file.write_bytes(oriented(jpeg, number))
    argv = ["vision", "detect", str(file), "--draw", str(drawn), "--model", model, "--json"]
    assert dispatch(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["width"], found["height"]) == (320, 256)
    box = found["boxes"][0]
    assert (box["x"], box["y"]) == pytest.approx((200, 32), abs=6)
    shown = cv2.imread(str(drawn))
    assert shown is not None
    assert shown.shape == picture.shape


def test_what_is_no_file_is_told_for_what_it_is(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name, said in (
        ("", "is a folder"), ("pipe.jpg", "is a pipe"), ("loop.jpg", "oo many levels of symbolic links"),
        ("zero.jpg", "is a device"), ("none.jpg", "no such file"), ("a" * 300, "ame too long"),
    ):  # fmt: skip
        assert dispatch(["vision", "detect", str(tmp_path / name), "--model", model]) == 9
        assert said in capsys.readouterr().err


def test_a_file_whose_name_is_not_utf8_is_looked_at(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / os.fsdecode(b"bad\xff.png")
    file.write_bytes(cv2.imencode(".png", np.full((256, 320, 3), 40, np.uint8))[1].tobytes())
    assert dispatch(["vision", "detect", str(file), "--model", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(tmp_path / "bad\ufffd.png")
    file.write_bytes(b"")
    assert dispatch(["vision", "detect", str(file), "--model", model, "--json"]) == 9
    assert "bad\ufffd.png: unreadable" in json.loads(capsys.readouterr().out)["error"]["message"]
