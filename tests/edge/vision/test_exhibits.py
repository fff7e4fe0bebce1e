from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.exhibits import Moment, Privacy, clip, shown_of, thumbnail
from edge.vision.frame import Frame
from edge.vision.observation import Box
from tests.edge.vision.scenes import scene
from tocsin.contract.evidence import MAX_THUMBNAIL_BYTES

NOISE = np.random.default_rng(1).integers(0, 255, (360, 640, 3), dtype=np.uint8)


def test_what_is_private_is_pixelated_and_nothing_else_changes() -> None:
    before = NOISE.copy()
    frame = Frame("cam", 0, 1, NOISE)
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    shown = shown_of(frame, Privacy((half,)), [Box("person", 0.9, 500, 100, 40, 80)])
    assert shown[:, :300].std(axis=(0, 1)).max() < NOISE.std() / 4
    assert shown[110:170, 505:535].std() < NOISE.std() / 4
    assert (shown[:90, 340:] == NOISE[:90, 340:]).all()
    assert np.array_equal(before, NOISE)


def test_a_clip_is_one_that_browsers_play_and_shows_every_moment(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    moments = [Moment(i, i, scene(320, 180, i)) for i in range(9)]
    data = clip(moments)
    assert capfd.readouterr() == ("", "")
    assert data.startswith(b"\x1a\x45\xdf\xa3")  # EBML, RFC 8794: WebM
    assert b"\x42\x82\x84webm" in data[:64]
    (tmp_path / "clip.webm").write_bytes(data)
    film = cv2.VideoCapture(str(tmp_path / "clip.webm"))
    assert int(film.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"VP80")
    frames = 0
    while film.read()[0]:
        frames += 1
    assert frames == 9
    assert clip(moments[:1]) == b""


_SMALL_DISK = """
import resource, signal, sys
from edge.vision.exhibits import Moment, clip
from tests.edge.vision.scenes import scene
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
moments = [Moment(i, i, scene(320, 180, i)) for i in range(9)]
resource.setrlimit(resource.RLIMIT_FSIZE, (len(clip(moments)) // 2, resource.RLIM_INFINITY))
try:
    clip(moments)
except OSError as exc:
    sys.exit(0 if "pictures of 9" in str(exc) else 2)
sys.exit(1)
"""


def test_a_clip_that_the_disk_cut_is_none() -> None:
    done = subprocess.run([sys.executable, "-c", _SMALL_DISK], check=False, timeout=120)
    assert done.returncode == 0


@pytest.mark.parametrize("count", [2, 3, 24])
def test_a_clip_of_any_length_is_whole(count: int) -> None:
    rng = np.random.default_rng(count)
    noise = rng.integers(0, 255, (count, 180, 320, 3), dtype=np.uint8)
    assert clip([Moment(i, i, picture) for i, picture in enumerate(noise)])
    still = scene(320, 180, 0)
    assert clip([Moment(i, i, still) for i in range(count)])


def test_a_thumbnail_is_small_whatever_the_picture() -> None:
    data = thumbnail(NOISE, Box("smoke", 0.9, 10, 10, 50, 50), 640, 360)
    assert len(data) <= MAX_THUMBNAIL_BYTES


def test_around_a_fire_a_thermal_picture_still_shows_the_hill() -> None:
    celsius = np.linspace(8, 16, 120, dtype=np.float32)[:, None] * np.ones((1, 160), np.float32)
    celsius[60:64, 80:84] = 400.0
    frame = Frame("heat", 0, 1, None, celsius, np.ones(celsius.shape, bool), "thermal")
    shown = shown_of(frame, Privacy())
    assert shown[:, :70].mean(axis=(1, 2)).std() > 30
    assert shown[61, 81].min() > 100
