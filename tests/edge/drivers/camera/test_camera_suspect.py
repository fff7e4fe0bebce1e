"""A camera that writes all its JPEGs wrong: the gateway says once what is wrong and what mends it, looks at its pictures, and says when that is over."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.driver import CameraDriver
from edge.vision.pipeline import camera as camera_module
from edge.vision.sources.damage import FIX, HABITS, Damage
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tests.edge.vision.web_camera import web_camera, whole, wrong
from tocsin.errors import DriverReason
from tocsin.testing import wait_until
from tocsin.testing.conformance.surroundings import Surroundings


async def test_jpegs_that_are_all_written_wrong_are_told_once_with_what_mends_them_and_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(camera_module, "_BAD_NS", 100_000_000)
    model = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    around, events = Surroundings("ridge"), list[tuple[str, dict[str, Any]]]()

    async def tell(kind: str, _device: str, _text: str, data: dict[str, Any]) -> None:
        events.append((kind, data))

    def told(kind: str) -> list[dict[str, Any]]:
        return [data for k, data in events if k == kind]

    with web_camera() as web, caplog.at_level(logging.WARNING):
        web.picture = wrong("restarts from 1")
        device = {"id": "cam-01", "source": f"{web.url}/snapshot", "fps": 25.0, "idle_fps": 25.0, "open_fps": 25.0, "model": str(model)}  # fmt: skip
        given = CameraConfig.model_validate({"type": "camera", "name": "ridge", "period_s": 1.0, "devices": [device]})  # fmt: skip
        driver = CameraDriver(given, msgspec.structs.replace(around.context, tell=tell))
        names = [c.quantity for c in driver.devices[0].channels]

        def usable() -> list[object]:
            return [s.values[names.index("usable")] for s in around.samples]

        running = asyncio.create_task(driver.run())
        try:
            await wait_until(lambda: bool(told("camera.suspect")) and True in usable())
            rows = len(usable())
            await wait_until(lambda: usable()[rows:].count(True) >= 3)
            (data,) = told("camera.suspect")
            assert data["reason"] == "restarts"
            for word, language in enumerate(("en", "zh")):
                assert HABITS[Damage.RESTARTS][word] in data[language]
                assert FIX[word] in data[language]
            assert [r.getMessage() for r in caplog.records if FIX[0] in r.getMessage()] == [f"camera cam-01: {data['en']}"]  # fmt: skip
            assert told("camera.to-standard") == []
            web.picture = whole
            await wait_until(lambda: bool(told("camera.to-standard")))
            assert told("camera.to-standard")[0]["reason"] == "restarts"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    reported = [e for _, e in around.errors if e.reason is DriverReason.NOT_TO_STANDARD]
    assert reported
    assert FIX[0] in reported[0].message
