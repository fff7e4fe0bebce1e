"""The pipeline over files: every frame in order, bad input that harms nobody else, nothing lost when nobody listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.frame import Frame
from edge.vision.observation import Quality
from edge.vision.pipeline.camera import Camera
from edge.vision.pipeline.health import CameraState
from edge.vision.pipeline.pace import Attention, Rates
from edge.vision.pipeline.pipeline import WAITING_RESULTS, Pipeline
from edge.vision.pipeline.worker import Looked
from edge.vision.sources.folder import FolderSource
from edge.vision.sources.source import Raw
from edge.vision.sources.video import VideoSource
from tests.edge.vision.cameras import EVERY, read_number, watched
from tests.edge.vision.scenes import numbered, scene, write_clip
from tocsin.errors import TocsinError
from tocsin.sdk import SystemClock
from tocsin.testing import wait_until


def _folder(place: Path, frames: int, draw: Callable[[int], Raw] = numbered) -> Path:
    place.mkdir()
    for i in range(frames):
        cv2.imwrite(str(place / f"{i:03d}.png"), draw(i))
    return place


def _files(name: str, folder: Path) -> Camera:
    return Camera(name, lambda _: FolderSource(folder), EVERY)


async def test_every_frame_of_files_that_are_not_paced_is_looked_at_in_order_and_then_it_ends(tmp_path: Path) -> None:  # fmt: skip
    cameras = [_files(f"cam-{i}", _folder(tmp_path / str(i), 12)) for i in range(3)]
    async with watched(cameras) as seen:
        await asyncio.wait_for(seen.over.wait(), 60)
        for camera in cameras:
            assert seen.numbers(camera.name) == list(range(12))
            assert [r.frame.index for r in seen.results[camera.name]] == list(range(12))
            health = seen.health(camera.name)
            assert (health.state, health.looked, health.passed_over) == (CameraState.ENDED, 12, 0)
            assert (health.width, health.height) == (320, 180)


async def test_pictures_that_cannot_be_looked_at_are_counted_and_the_other_cameras_go_on(tmp_path: Path) -> None:  # fmt: skip
    def bad(i: int) -> Raw:
        half = scene(seed=i)
        half[90:] = 128
        return [scene(seed=i), np.zeros((1, 1, 3), np.uint8), half, scene(640, 360, i), scene(640, 360, i)][i]  # fmt: skip

    folder = _folder(tmp_path / "bad", 5, bad)
    jpeg = cv2.imencode(".jpg", scene())[1].tobytes()
    (folder / "005.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "006.png").write_bytes(b"what")
    good = _folder(tmp_path / "good", 12)
    async with watched([_files("bad", folder), _files("good", good)]) as seen:
        await asyncio.wait_for(seen.over.wait(), 60)
        health = seen.health("bad")
        assert health.rejected == {"too-small": 1, "half-grey": 1, "truncated": 1, "unreadable": 1}
        assert (health.resolution_changes, health.moved) == (1, 1)
        assert [(r.frame.quality, r.frame.moved) for r in seen.results["bad"]] == [
            (Quality.GOOD, False), (Quality.HALF_GREY, False), (Quality.GOOD, True), (Quality.GOOD, False),
        ]  # fmt: skip
        assert seen.numbers("good") == list(range(12))


async def test_a_model_that_refuses_or_breaks_harms_only_its_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    def look(frame: Frame) -> Looked:
        if frame.camera == "odd" and frame.index in (2, 3):
            raise TocsinError("this model wants other pictures")
        if frame.camera == "odd" and frame.index in (5, 6):
            raise ZeroDivisionError
        return read_number(frame)

    cameras = [_files(name, _folder(tmp_path / name, 10)) for name in ("odd", "good")]
    async with watched(cameras, look) as seen:
        await asyncio.wait_for(seen.over.wait(), 60)
        assert seen.numbers("good") == list(range(10))
        assert seen.numbers("odd") == [0, 1, 4, 7, 8, 9]
        assert (seen.health("odd").failed_looks, seen.pipeline.crashes) == (4, 2)
    said = [r.getMessage() for r in caplog.records if r.name == "tocsin.vision"]
    assert sum("wants other pictures" in text for text in said) == 1


async def test_while_nobody_takes_results_a_bounded_number_waits_and_none_is_lost(tmp_path: Path) -> None:  # fmt: skip
    cameras = [_files(f"cam-{i}", _folder(tmp_path / str(i), 30)) for i in range(2)]
    looked, lock = [0], threading.Lock()

    def look(frame: Frame) -> Looked:
        with lock:
            looked[0] += 1
        return read_number(frame)

    async with Pipeline(cameras, look, SystemClock(), workers=2) as pipeline:
        await wait_until(lambda: looked[0] >= WAITING_RESULTS + 2)
        assert looked[0] == WAITING_RESULTS + 2  # one more in each worker's hand
        got: dict[str, list[int]] = {"cam-0": [], "cam-1": []}
        while (result := await pipeline.result()) is not None:
            got[result.frame.camera].append(result.frame.index)
        assert got == {"cam-0": list(range(30)), "cam-1": list(range(30))}


async def test_a_live_camera_passes_over_what_nobody_wants_and_looks_closer_where_something_is_found(tmp_path: Path) -> None:  # fmt: skip
    file, clock = tmp_path / "clip.mp4", SystemClock()
    write_clip(file, 50, fps=50.0)
    rates = Rates(idle_fps=2.0, open_fps=25.0)

    def look(frame: Frame) -> Looked:
        found = Attention.OPEN if frame.camera == "busy" else Attention.IDLE
        return Looked(read_number(frame).observations, found)

    cameras = [
        Camera(n, lambda wait: VideoSource(file, clock, wait, repeat=True), rates)
        for n in ("busy", "quiet")
    ]
    async with watched(cameras, look) as seen:
        await wait_until(lambda: len(seen.results["quiet"]) >= 4)
        busy, quiet = seen.health("busy"), seen.health("quiet")
        assert (busy.attention, quiet.attention) == (Attention.OPEN, Attention.IDLE)
        assert busy.looked > 2 * quiet.looked
        assert quiet.frames >= quiet.looked + quiet.passed_over > 5 * quiet.looked


async def test_an_end_in_the_middle_leaves_no_thread(tmp_path: Path) -> None:
    file, clock = tmp_path / "clip.mp4", SystemClock()
    write_clip(file, 20)
    live = Camera("live", lambda wait: VideoSource(file, clock, wait, repeat=True), EVERY)
    away = Camera("away", lambda _: FolderSource(tmp_path / "nowhere"), EVERY)
    async with watched([live, away, _files("files", _folder(tmp_path / "f", 5))]) as seen:
        await wait_until(lambda: seen.results["live"] and seen.results["files"])
        await wait_until(lambda: any(c.error for c in seen.changes))
        assert seen.health("away").state is CameraState.OFFLINE
        assert "nowhere" in seen.health("away").error
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("camera-", "vision-"))]
