"""What is shown of a detection, and what becomes of it where the disk refuses."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.learned import Learned
from edge.drivers.camera.reporting import Reporter
from edge.drivers.camera.scene import Scene
from edge.vision.frame import Frame
from edge.vision.observation import Box, Observation
from tocsin.contract.evidence import FixedMask, View
from tocsin.testing.conformance.surroundings import Surroundings

SECOND_NS = 1_000_000_000
MASKS = [{"points": [[0, 0.9], [0.1, 0.9], [0.1, 1]], "labels": ["smoke"]}]


class Camera:
    """One with its reporter."""

    def __init__(self) -> None:
        device = {"id": "cam-01", "source": "http://127.0.0.1:9/snap.jpg", "masks": MASKS}
        config = CameraConfig.model_validate(
            {"type": "camera", "name": "ridge", "devices": [device]}
        )
        devices = {d.id: d for d in config.devices}
        self.shown = list[str]()
        self.around, self.told = Surroundings("ridge"), list[dict[str, Any]]()
        self.walls = list[dict[str, Any]]()
        self.scene = Scene(devices, {"cam-01": Learned()})
        self.kept, self.views = list[str](), list[str]()
        self.connected = True
        context = msgspec.structs.replace(
            self.around.context, tell=self._tell, evidence=self._keep, view=self._view
        )
        self.reporter, self.index = Reporter(context, devices, self.scene), 0

    async def _tell(self, kind: str, _device: str, _text: str, data: dict[str, Any]) -> None:
        if kind == "vision.detection":
            self.told.append(data)
        if kind == "vision.view":
            self.shown.append(data["sha256"])
            self.walls.append(data)

    async def _keep(self, data: bytes) -> str:
        self.kept.append(hashlib.sha256(data).hexdigest())
        return self.kept[-1]

    def _view(self, camera: str, data: bytes) -> str:
        assert camera == "cam-01"
        if not self.connected:
            return ""
        self.views.append(hashlib.sha256(data).hexdigest())
        return self.views[-1]

    async def burns(self, *places: int) -> list[list[str]]:
        """Smoke that grows at these x for 20 s; the pictures of each detection."""
        before = len(self.told)
        for grown in range(40):
            size = 40 + grown
            boxes = tuple(Box("smoke", 0.95, x, 200, size, size) for x in places if grown > 20)
            ts_ns = self.index * SECOND_NS
            scores = {"smoke": 0.95 if boxes else 0.0}
            seen = Observation("cam-01", self.index, ts_ns, 640, 480, scores, boxes)
            frame = Frame("cam-01", self.index, ts_ns, np.full((480, 640, 3), 90, np.uint8))
            await self.reporter.take(frame, [seen], self.scene.see(seen))
            self.index += 1
        await asyncio.wait_for(self.reporter.settled(), 30)
        last = {told["detection"]: told for told in self.told[before:]}
        return [[shown["role"] for shown in told["evidence"]] for told in last.values()]


async def test_a_folder_for_temporary_files_that_is_gone_costs_the_clips_alone_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    camera = Camera()
    running = asyncio.create_task(camera.reporter.run())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    roles = await camera.burns(100, 400)
    assert not running.done()
    assert len(roles) == 2
    assert all({"thumbnail", "at"} <= set(of_one) for of_one in roles)
    assert not any("clip" in of_one for of_one in roles)
    assert camera.around.counts["clips-left-out"] == 2
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert str(tmp_path / "gone") in errors[0]
    (tmp_path / "gone").mkdir()
    roles = await camera.burns(250)
    assert "clip" in roles[-1]
    running.cancel()


async def test_a_picture_for_the_wall_is_never_kept_as_evidence_and_waits_for_somebody_to_see_it() -> (
    None
):
    camera = Camera()
    running = asyncio.create_task(camera.reporter.run())
    camera.connected = False
    roles = await camera.burns(100)
    assert {"thumbnail", "at"} <= set(roles[0])
    assert (camera.views, camera.shown) == ([], [])
    camera.connected = True
    camera.reporter.want_view("cam-01")
    await camera.burns()
    running.cancel()
    assert len(camera.views) == 1
    assert camera.shown == camera.views
    assert not set(camera.views) & set(camera.kept)


async def test_a_fire_that_grew_is_told_in_words_and_its_picture_goes_to_the_wall() -> None:
    camera = Camera()
    said = list[str]()

    async def tell(kind: str, device: str, text: str, data: dict[str, Any]) -> None:
        await camera._tell(kind, device, text, data)
        if kind == "vision.detection":
            said.append(text)

    context = msgspec.structs.replace(camera.reporter._context, tell=tell)
    camera.reporter._context = context
    shown = list[int]()
    for i in range(150):
        size = min(50, 20 + i) if i < 60 else 160
        boxes = (Box("smoke", 0.95, 300, 200, size, size),) if i > 20 else ()
        ts_ns = i * SECOND_NS
        seen = Observation("cam-01", i, ts_ns, 640, 480, {"smoke": 0.95 if boxes else 0.0}, boxes)
        frame = Frame("cam-01", i, ts_ns, np.full((480, 640, 3), 90, np.uint8))
        before = len(camera.shown)
        await camera.reporter.take(frame, [seen], camera.scene.see(seen))
        shown += [i] * (len(camera.shown) - before)
    grown = [told for told in camera.told if "grown" in told]
    assert grown[0]["change"] == "updated"
    assert grown[0]["grown"]["times"] > 8
    (words,) = [text for text in said if "times its area at the alarm" in text]
    assert words.startswith("Smoke has ")
    told_at = grown[0]["grown"]["t"] // SECOND_NS
    assert any(told_at <= at <= told_at + 1 for at in shown)


async def test_the_picture_for_the_wall_comes_with_the_masks_of_the_configuration() -> None:
    camera = Camera()
    camera.scene.draw("cam-01", ())
    running = asyncio.create_task(camera.reporter.run())
    await camera.burns()
    running.cancel()
    (told,) = (msgspec.convert(data, View) for data in camera.walls)
    assert told.masks == [FixedMask([(0, 0.9), (0.1, 0.9), (0.1, 1)], ["smoke"])]
