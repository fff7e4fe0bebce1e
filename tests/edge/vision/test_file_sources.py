"""Folders and video files as cameras, on a clock that the test moves."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.evaluate.looking import read_picture
from edge.vision.pipeline.develop import as_bgr
from edge.vision.sources.folder import FolderSource, in_order
from edge.vision.sources.pacing import Pacing
from edge.vision.sources.picture_file import MAX_FILE_BYTES
from edge.vision.sources.source import Raw, Reject
from edge.vision.sources.video import VideoSource
from tests.edge.vision.scenes import number_of, numbered, oriented, scene, write_clip
from tocsin.errors import DriverReason, LinkError


class HandClock:
    """Waiting moves it."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def mono_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        self.ns += round(seconds * 1e9)
        return False


def _number(raw: Raw | Reject) -> int:
    assert not isinstance(raw, Reject)
    return number_of(raw)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), numbered(i))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_gives_its_pictures_in_order_and_ends(folder: Path) -> None:
    (folder / "002.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    source = FolderSource(folder)
    source.open()
    found: list[object] = []
    while source.grab():
        raw = source.retrieve()
        found.append(raw if isinstance(raw, Reject) else number_of(raw))
    assert found == [0, 1, Reject.UNREADABLE, 3, 4, 5]
    assert not source.live
    source.open()
    assert source.grab()
    assert (_number(source.retrieve()), source.file.name) == (0, "000.png")


def test_numbers_in_names_count_as_numbers_and_hidden_files_are_no_frames(tmp_path: Path) -> None:
    ordered = [
        "a.png", "a1.png", "a02.png", "a2.png", "a10.png", "a10b3.png", "a10b20.png", "a_1.png", "b1.png",
    ]  # fmt: skip
    for name in reversed(ordered):
        cv2.imwrite(str(tmp_path / name), numbered(ordered.index(name)))
    for name in (".hidden.png", "._a1.png"):
        (tmp_path / name).write_bytes((tmp_path / "a1.png").read_bytes())
    source = FolderSource(tmp_path)
    source.open()
    assert len(source) == len(ordered)
    found = list[tuple[str, int]]()
    while source.grab():
        found.append((source.file.name, _number(source.retrieve())))
    assert found == [(name, i) for i, name in enumerate(ordered)]


def test_names_of_recorders_keep_the_order_of_their_times() -> None:
    for ordered in (
        ["20261127T095959.jpg", "20261127T101500.jpg", "20261128T000000.jpg"],
        ["1600001174_-00060.jpg", "1600001234_+00000.jpg", "1600001294_+00060.jpg"],
        ["1764237600.25.jpg", "1764237600.4999.jpg", "1764237600.5.jpg", "1764237601.1.jpg"],
        ["2026-11-27_9-59-5.jpg", "2026-11-27_9-59-12.jpg", "2026-11-27_10-0-0.jpg"],
    ):
        assert sorted(ordered, key=in_order) == ordered
    padded = [f"{a}{n:05}{b}" for a in ("x-", "x+", "x_", "x") for n in (7, 60, 123) for b in ("", "-1", ".jpg")]  # fmt: skip
    assert sorted(padded, key=in_order) == sorted(padded)


def test_a_folder_goes_on_after_endless_and_vast_files_and_pipes(folder: Path) -> None:
    with (folder / "000.png").open("ab") as vast:
        vast.truncate(MAX_FILE_BYTES + 1)
    (folder / "a.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "b.jpg")
    (folder / "c.png").symlink_to("002.png")
    (folder / "d.jpg").symlink_to("d.jpg")
    (folder / "e.jpg").mkdir()
    source = FolderSource(folder)
    source.open()
    found: list[object] = []
    while source.grab():
        raw = source.retrieve()
        found.append(raw if isinstance(raw, Reject) else number_of(raw))
    none = Reject.UNREADABLE
    assert found == [Reject.TOO_LARGE, 1, 2, 3, 4, 5, none, none, 2, none, none]


def test_a_paced_folder_gives_who_comes_late_the_newest_picture(folder: Path) -> None:
    clock = HandClock()
    source = FolderSource(folder, pacing=Pacing(2.0, clock, clock.wait), repeat=True)
    source.open()
    seen = []
    for busy_s in (0.0, 0.1, 1.4, 0.0, 1.0, 0.0):
        assert source.grab()
        seen.append((_number(source.retrieve()), clock.ns / 1e9))
        clock.wait(busy_s)
    assert seen == [(0, 0.0), (1, 0.5), (2, 1.0), (4, 2.4), (5, 2.5), (1, 3.5)]


def test_a_paced_source_that_shall_end_ends(folder: Path) -> None:
    clock = HandClock()
    source = FolderSource(folder, pacing=Pacing(2.0, clock, lambda _: True))
    source.open()
    assert source.grab()
    assert not source.grab()


def test_a_video_file_gives_every_frame_or_those_that_are_due(tmp_path: Path) -> None:
    file, clock = tmp_path / "clip.mp4", HandClock()
    write_clip(file, 20, fps=10.0)
    every = VideoSource(file, clock, clock.wait, paced=False)
    every.open()
    found = []
    while every.grab():
        found.append(_number(every.retrieve()))
    every.close()
    assert found == list(range(20))
    assert clock.ns == 0
    live = VideoSource(file, clock, clock.wait, repeat=True)
    live.open()
    seen = []
    for busy_s in (0.0, 0.55, 0.0, 1.0, 0.9):
        assert live.grab()
        seen.append(_number(live.retrieve()))
        clock.wait(busy_s)
    live.close()
    assert seen == [0, 1, 6, 7, 17]


def test_what_is_no_folder_and_no_video_is_said(tmp_path: Path) -> None:
    clock = HandClock()
    text = tmp_path / "clip.mp4"
    text.write_text("not a video")
    for source, reason in (
        (FolderSource(tmp_path / "nowhere"), DriverReason.NO_PORT),
        (FolderSource(tmp_path), DriverReason.BAD_FILE),
        (VideoSource(tmp_path / "none.mp4", clock, clock.wait), DriverReason.NO_PORT),
        (VideoSource(text, clock, clock.wait), DriverReason.BAD_FILE),
    ):
        with pytest.raises(LinkError) as caught:
            source.open()
        assert caught.value.reason is reason
        assert str(tmp_path) in caught.value.message


def test_a_thermal_folder_gives_counts(tmp_path: Path) -> None:
    counts = (scene(160, 120)[:, :, 0].astype(np.uint16)) + 29_000
    cv2.imwrite(str(tmp_path / "a.tiff"), counts)
    source = FolderSource(tmp_path)
    source.open()
    assert source.grab()
    raw = source.retrieve()
    assert not isinstance(raw, Reject)
    assert np.array_equal(raw, counts)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("colours", [1, 3])
def test_a_folder_turns_its_pictures_as_detect_does(
    tmp_path: Path, number: int, colours: int
) -> None:
    upright = scene(320, 200)
    lying = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[number]  # fmt: skip
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(lying[:, :, :colours]))
    assert ok
    file = tmp_path / "a.jpg"
    file.write_bytes(oriented(data.tobytes(), number))
    source = FolderSource(tmp_path)
    source.open()
    assert source.grab()
    raw = source.retrieve()
    assert not isinstance(raw, Reject)
    assert as_bgr(raw).shape == (200, 320, 3)
    assert np.abs(as_bgr(raw)[:, :, 0].astype(int) - upright[:, :, 0]).mean() < 12
    assert np.array_equal(as_bgr(raw), read_picture(file, upright=True))
    lies = read_picture(file)
    assert not isinstance(lies, str)
    assert lies.shape[:2] == lying.shape[:2], "labelled pictures are as their pixels lie"
