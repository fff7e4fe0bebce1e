"""What commands write where the disk takes only a part of it: an error with the file and what to do, never half of it."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import resource
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.bench import write_clip as write_bench_clip
from edge.vision.whole import frames_in
from tests.edge.vision.graphs import box_graph, write_model
from tests.edge.vision.scenes import scene, write_clip
from tocsin.errors import FolderError

SETTINGS = (
    'classes = ["red", "blue"]\n[input]\nwidth = 320\nheight = 256\n[head]\nkind = "yolov8"\n'
)
MOST_BYTES = 40_000


def refused(*argv: str) -> tuple[int, str]:
    """Exit code and stderr where no file can be larger than `MOST_BYTES`."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", "vision", *argv],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["drawn.mp4", "drawn.avi", "drawn.mkv", "drawn.mov", "drawn.png"])
def test_a_drawing_that_the_disk_takes_in_part_is_an_error_and_the_older_one_stays(
    name: str, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", box_graph("yolov8", 320, 256), SETTINGS)
    source, out = tmp_path / "clip.mp4", tmp_path / "out" / name
    if out.suffix == ".png":
        source = tmp_path / "picture.png"
        cv2.imwrite(str(source), np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8))
    else:
        write_clip(source, 60)
    out.parent.mkdir()
    out.write_bytes(b"older")
    code, told = refused("detect", str(source), "--draw", str(out), "--model", str(model))
    assert code == 3, told
    assert f"{out} cannot be written" in told
    assert "make room there" in told
    assert out.read_bytes() == b"older"
    assert list(out.parent.iterdir()) == [out]


def test_the_frames_of_a_whole_drawing_are_counted_in_every_kind_of_video(tmp_path: Path) -> None:
    from edge.vision.commands.drawing import Writer

    for suffix in (".mp4", ".avi", ".mkv", ".mov"):
        out = tmp_path / f"drawn{suffix}"
        writer = Writer(out, 25.0, scene())
        for _ in range(37):
            writer.add(scene())
        writer.keep()
        assert frames_in(out) == 37


def test_the_clips_of_the_bench_are_whole_or_an_error(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="may be full"):
        write_bench_clip(Path("/dev/full"), 1)
    write_bench_clip(tmp_path / "clip.mp4", 1)


class Cloud(http.server.BaseHTTPRequestHandler):
    """One that has judged pictures."""

    archive = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Tocsin-Pictures", "1")
        self.send_header("Content-Length", str(len(self.archive)))
        self.end_headers()
        self.wfile.write(self.archive)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass


@contextmanager
def cloud(picture: bytes, compression: int) -> Iterator[str]:
    image = {"id": 1, "file_name": "a.jpg", "sha256": hashlib.sha256(picture).hexdigest(), "width": 8, "height": 8,
             "group": "north/cam-1", "verdict": "rejected"}  # fmt: skip
    labels = {"images": [image], "annotations": [], "info": {"truncated": False, "left_out": {}}}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        archive.writestr("train.json", json.dumps(labels))
        archive.writestr("images/a.jpg", picture)
    handler = type("Handler", (Cloud,), {"archive": made.getvalue()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize(
    ("name", "compression"),
    [("judged", zipfile.ZIP_DEFLATED), ("judged", zipfile.ZIP_STORED), ("judged.zip", zipfile.ZIP_STORED)],
)  # fmt: skip
def test_an_export_that_the_disk_takes_in_part_leaves_nothing_behind(
    name: str, compression: int, tmp_path: Path, *, made: bool
) -> None:
    out = tmp_path / "to" / name
    out.parent.mkdir()
    if made and not out.suffix:
        out.mkdir()
    before = sorted(out.parent.rglob("*"))
    with cloud(bytes(2 * MOST_BYTES), compression) as url:
        code, told = refused("export", str(out), "--url", url)
    assert code == 3, told
    assert f"{out} cannot be written" in told
    assert "make room there" in told
    assert sorted(out.parent.rglob("*")) == before
