"""What a camera learned is there after a restart, and a file that is not whole costs that camera its memory alone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edge.drivers.camera import learned as files
from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.driver import CameraDriver
from edge.drivers.camera.learned import (
    EVERY_NS,
    WARMTH_EVERY_NS,
    Known,
    Learned,
    LearnedFiles,
    places,
)
from edge.vision.judge.watch import Watch
from edge.vision.nn.packed import Packed
from edge.vision.packed_heat import PackedHeat
from edge.vision.usual_heat import UsualHeat
from edge.vision.watch.answer import Answer
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.contract.evidence import Detection
from tocsin.testing import wait_until
from tocsin.testing.conformance.surroundings import Surroundings

LEARNED = Learned(Watch(judged=7), masks=())


class Disk:
    """The memory of cameras in a folder, and what was counted."""

    def __init__(self, folder: Path, state_dir: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        where = places(state_dir, lambda camera: folder / camera)
        self.files = LearnedFiles(
            where, logging.getLogger("memory"), lambda name, n: self.counts.update({name: n})
        )
        self.file = folder / "cam-01" / "learned.json"
        self.warmth = folder / "cam-01" / "warmth"

    def kept(self) -> bytes:
        self.files.write("cam-01", LEARNED, 0)
        return self.file.read_bytes()


class Gateway:
    """What a driver is given: a folder for each device, and ears."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.events = data_dir, list[tuple[str, str]]()
        self.around = Surroundings("ridge")
        self.context = msgspec.structs.replace(
            self.around.context, tell=self.tell, folder=lambda device: self.data_dir / device
        )

    async def tell(self, kind: str, device: str, text: str, _data: dict[str, Any]) -> None:
        self.events.append((kind, device))

    async def runs(self, config: CameraConfig) -> None:
        """To the end of its files."""
        driver = CameraDriver(config, self.context)
        await asyncio.wait_for(driver.run(), 60.0)
        self.seen = driver._seen["cam-01"]


def camera_of(tmp_path: Path, **options: object) -> CameraConfig:
    """Twelve quiet frames."""
    folder, rng = tmp_path / "frames", np.random.default_rng(4)
    folder.mkdir()
    for i in range(12):
        picture = rng.integers(60, 120, (128, 160, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), picture)
    model = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    device = {"id": "cam-01", "source": str(folder), "as_fast_as_looked_at": True, "idle_fps": 20.0,
              "model": str(model)}  # fmt: skip
    return CameraConfig.model_validate(
        {"type": "camera", "name": "ridge", "devices": [device], **options}
    )


async def test_a_camera_goes_on_after_a_restart_without_any_setting(tmp_path: Path) -> None:
    config, disk = camera_of(tmp_path), Disk(tmp_path / "devices")
    for run in (1, 2):
        gateway = Gateway(tmp_path / "devices")
        await gateway.runs(config)
        kept, lost = disk.files.read("cam-01")
        assert (kept.watch.judged, lost) == (12 * run, "")
        assert "camera.anew" not in dict(gateway.events)


async def test_a_state_dir_takes_the_place_of_the_gateways_folder(tmp_path: Path) -> None:
    await Gateway(tmp_path / "devices").runs(camera_of(tmp_path, state_dir=str(tmp_path / "own")))
    assert [p.name for p in (tmp_path / "own").iterdir()] == ["cam-01.json"]
    assert not (tmp_path / "devices").exists()


async def test_a_camera_whose_memory_is_broken_says_so_and_learns_anew(tmp_path: Path) -> None:
    config, disk = camera_of(tmp_path), Disk(tmp_path / "devices")
    whole = disk.kept()
    disk.file.write_bytes(whole[:-9])
    gateway = Gateway(tmp_path / "devices")
    await gateway.runs(config)
    assert gateway.events.count(("camera.anew", "cam-01")) == 1
    assert gateway.around.counts["memory-unreadable"] == 1
    assert disk.files.read("cam-01")[0].watch.judged == 12
    assert disk.file.with_name("learned.json.broken").read_bytes() == whole[:-9]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-9], "damaged"),
        (lambda data: data.replace(b'"judged":7', b'"judged":8'), "damaged"),
        (lambda data: data.replace(b"camera-memory", b"vision-watch"), "another kind"),
        (lambda data: data.replace(b'"version":1', b'"version":9'), "version 9"),
        (lambda _: b"", "does not hold"),
        (lambda _: b"\xff\x00", "does not hold"),
        (lambda _: bytes(files.MAX_BYTES + 1), "larger"),
    ],
)
def test_a_file_that_is_not_whole_is_set_aside_counted_and_names_why(
    tmp_path: Path, spoil: Any, says: str
) -> None:
    disk = Disk(tmp_path)
    disk.file.write_bytes(spoil(disk.kept()))
    kept, lost = disk.files.read("cam-01")
    assert kept == Learned()
    assert says in lost
    assert str(disk.file) in lost
    assert disk.counts == {"memory-unreadable": 1}
    assert [p.name for p in disk.file.parent.iterdir()] == ["learned.json.broken"]
    assert disk.files.read("cam-01") == (Learned(), "")


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.file.parent.mkdir()
    disk.file.write_bytes(msgspec.json.encode(LEARNED))
    assert disk.files.read("cam-01") == (LEARNED, "")


def test_a_detection_is_written_at_once_and_what_only_grows_every_ten_minutes(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    assert disk.files.due("cam-01", LEARNED, 0)
    disk.kept()
    assert not disk.files.due("cam-01", LEARNED, EVERY_NS - 1)
    assert disk.files.due("cam-01", LEARNED, EVERY_NS)
    told = Detection("01J", "confirmed", "smoke", 0.9, (0.1, 0.1, 0.1, 0.1), 1)
    burning = msgspec.structs.replace(LEARNED, known={"01J": Known(1, told)})
    assert disk.files.due("cam-01", burning, 1)
    disk.files.write("cam-01", burning, 1)
    assert not disk.files.due("cam-01", burning, 2)


def test_what_the_disk_or_the_bound_refuses_leaves_the_file_as_it_was_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path)
    before = disk.kept()
    monkeypatch.setattr(files, "MAX_BYTES", len(before) - 1)
    for _ in range(3):
        disk.files.write("cam-01", LEARNED, 1)
    assert disk.file.read_bytes() == before
    assert disk.counts == {"memory-not-kept": 3}
    assert len(caplog.records) == 1
    monkeypatch.undo()
    disk.file.unlink()
    disk.file.parent.rmdir()
    disk.file.parent.write_text("in the way")
    disk.files.write("cam-01", LEARNED, 1)
    assert disk.counts == {"memory-not-kept": 4}


def roof(folder: Path, quiet: int, frames: int) -> Path:
    """A red roof after so many quiet frames."""
    rng = np.random.default_rng(4)
    folder.mkdir()
    for i in range(frames):
        picture = rng.normal(90, 2, (128, 160, 3))
        if i >= quiet:
            half = min(20, 8 + 4 * (i - quiet))
            picture[60 - half : 60 + half, 60 - 2 * half : 60 + 2 * half] = (20, 20, 230)
        cv2.imwrite(str(folder / f"{i:04}.png"), np.clip(picture, 0, 255).astype(np.uint8))
    return folder


@pytest.mark.parametrize("killed", [False, True])
async def test_a_verdict_counts_that_came_after_a_restart_or_just_before_the_gateway_was_killed(
    tmp_path: Path, *, killed: bool
) -> None:
    model = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    disk, gateway = Disk(tmp_path / "devices"), Gateway(tmp_path / "devices")

    @asynccontextmanager
    async def running(frames: Path) -> AsyncIterator[CameraDriver]:
        device = {"id": "cam-01", "source": str(frames), "as_fast_as_looked_at": True, "idle_fps": 20.0, "open_fps": 20.0,
                  "repeat": True, "model": str(model), "labels": ["fire"]}  # fmt: skip
        given = CameraConfig.model_validate(
            {"type": "camera", "name": "ridge", "devices": [device]}
        )
        driver = CameraDriver(given, gateway.context)
        task = asyncio.create_task(driver.run())
        try:
            yield driver
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with running(roof(tmp_path / "first", 40, 200)):
        await wait_until(lambda: ("vision.detection", "cam-01") in gateway.events, 60.0)
        await asyncio.sleep(0.5)  # some frames more of it
    kept, _ = disk.files.read("cam-01")
    ((detection, known),) = kept.known.items()
    if killed:  # the answer was written down, and no frame was looked at since
        x, y, width, height = known.told.box
        box = (x - width / 4, y - height / 4, width * 1.5, height * 1.5)
        answer = Answer(known.told.label, box, known.since_ns, fire=False)
        disk.files.write("cam-01", msgspec.structs.replace(kept, answers=(answer,)), 0)
    async with running(roof(tmp_path / "second", 0, 200)) as driver:
        if not killed:
            await wait_until(lambda: driver._seen["cam-01"].get("fire", 0.0) > 0.6, 30.0)
            told = {"detection": detection, "verdict": "rejected"}
            await driver.command("cam-01", "verdict", told, 5.0)
        await wait_until(lambda: driver._seen["cam-01"].get("fire", 1.0) < 0.35, 30.0)
    assert disk.files.read("cam-01")[0].answers == ()


def test_what_was_forgotten_is_not_on_the_disk_any_more_soon_after(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    packed = Packed("m 1", 9, (1, 1, 1), b"00", b"00")
    known = msgspec.structs.replace(LEARNED, heat={"visible": packed})
    disk.files.write("cam-01", known, 0)
    fewer = msgspec.structs.replace(
        known, heat={"visible": msgspec.structs.replace(packed, frames=6)}
    )
    assert [disk.files.due("cam-01", one, 1) for one in (known, fewer, LEARNED)] == [
        False,
        True,
        True,
    ]
    disk.files.write_warmth("cam-01", warmth_of(20), 0)
    assert not disk.files.warmth_due("cam-01", True, WARMTH_EVERY_NS - 1)
    assert disk.files.warmth_due("cam-01", True, WARMTH_EVERY_NS)
    assert disk.files.warmth_due("cam-01", False, 1)
    disk.files.write_warmth("cam-01", None, 1)
    assert not disk.warmth.exists()
    assert not disk.files.warmth_due("cam-01", False, 2)
    assert disk.files.warmth_due("cam-01", True, 2)


def warmth_of(degrees: float) -> PackedHeat:
    """A whole day of so many degrees in the middle of 64 x 48 px of 20."""
    heat, celsius = UsualHeat(), np.full((48, 64), 20, np.float32)
    celsius[16:32, 24:40] = degrees
    now_ns = time.time_ns()
    for minute in range(-25 * 60, 0):
        heat.saw(celsius, now_ns + minute * 60_000_000_000)
    packed = heat.packed()
    assert packed is not None
    return packed


def thermal(tmp_path: Path) -> CameraConfig:
    """A roof of 120 degrees."""
    folder, rng = tmp_path / "frames", np.random.default_rng(4)
    folder.mkdir()
    for i in range(12):
        celsius = rng.normal(20, 0.2, (48, 64))
        celsius[16:32, 24:40] = 120
        counts = np.round((celsius + 273.15) / 0.04).astype(np.uint16)
        assert cv2.imwrite(str(folder / f"{i:02}.png"), counts)
    device = {"id": "cam-01", "source": str(folder), "as_fast_as_looked_at": True, "idle_fps": 20.0,
              "kelvin_per_count": 0.04}  # fmt: skip
    return CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": [device]})


@pytest.mark.parametrize(
    ("spoil", "says"), [(lambda data: data[:-9], "damaged"), (lambda data: data.replace(b'"version":1', b'"version":2'), "version 2")]
)  # fmt: skip
async def test_a_thermal_camera_knows_its_warm_roof_after_a_restart_unless_its_file_is_broken(
    tmp_path: Path, spoil: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    config, disk = thermal(tmp_path), Disk(tmp_path / "devices")
    disk.files.write_warmth("cam-01", warmth_of(120), 0)
    gateway = Gateway(tmp_path / "devices")
    await gateway.runs(config)
    assert gateway.seen["hot_spot"] == 0.0
    kept, lost = disk.files.read_warmth("cam-01")
    assert kept is not None
    assert (len(kept.hours), lost) == (24, "")
    disk.warmth.write_bytes(spoil(disk.warmth.read_bytes()))
    disk.file.unlink()
    gateway = Gateway(tmp_path / "devices")
    await gateway.runs(config)
    assert gateway.seen["hot_spot"] > 0.5
    assert gateway.events.count(("camera.anew", "cam-01")) == 1
    assert gateway.around.counts["memory-unreadable"] == 1
    assert says in caplog.text
    assert disk.warmth.with_name("warmth.broken").exists()
