"""A camera whose pictures come and cannot be judged: its readings and one event say so, and why."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edge.drivers.camera.config import CameraConfig, CameraDevice
from edge.drivers.camera.driver import CameraDriver
from edge.drivers.camera.values import spec_of, values_of
from edge.vision.observation import Quality
from edge.vision.pipeline.health import UNJUDGED_AFTER, Health
from edge.vision.pipeline.pace import Attention
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.testing.conformance.surroundings import Surroundings


async def run_to_its_end(
    device: dict[str, object],
) -> tuple[list[tuple[object, object]], list[tuple[str, dict[str, Any]]]]:
    """((usable, unjudged) of each row, camera events)."""
    given = CameraConfig.model_validate(
        {"type": "camera", "name": "ridge", "period_s": 1.0, "devices": [device]}
    )
    around, events = Surroundings("ridge"), list[tuple[str, dict[str, Any]]]()

    async def tell(kind: str, device: str, text: str, data: dict[str, Any]) -> None:
        if kind in ("camera.not-judged", "camera.judged"):
            events.append((kind, data))

    driver = CameraDriver(given, msgspec.structs.replace(around.context, tell=tell))
    await asyncio.wait_for(driver.run(), 60.0)
    names = [c.quantity for c in driver.devices[0].channels]
    at = names.index("usable"), names.index("unjudged")
    return [(s.values[at[0]], s.values[at[1]]) for s in around.samples if s.values[at[0]] is not None], events  # fmt: skip


async def test_a_model_that_fails_at_every_picture_is_told_once_and_so_is_its_return(
    tmp_path: Path,
) -> None:
    folder, rng = tmp_path / "frames", np.random.default_rng(4)
    folder.mkdir()
    for i in range(100):
        picture = rng.integers(60, 120, (128, 160, 3), dtype=np.uint8)
        if i < 60:
            picture[:9, :9] = 255
        cv2.imwrite(str(folder / f"{i:03}.png"), picture)
    model = write_model(tmp_path / "model", heat_graph(fails=True), HEAT_SETTINGS)
    device = {"id": "cam-01", "source": str(folder), "fps": 20.0, "idle_fps": 20.0, "model": str(model)}  # fmt: skip
    rows, events = await run_to_its_end(device)
    assert (False, "failed") in rows
    assert rows.index((False, "failed")) < rows.index((True, ""))
    assert [kind for kind, _ in events] == ["camera.not-judged", "camera.judged"]
    assert events[0][1]["reason"] == events[1][1]["reason"] == "failed"
    assert "failed on image" in events[0][1]["why"]


@pytest.mark.parametrize("kelvin", [None, 0.04])
async def test_pictures_of_the_wrong_depth_are_told_once_with_their_reason(
    tmp_path: Path, kelvin: float | None
) -> None:
    folder, rng = tmp_path / "frames", np.random.default_rng(4)
    folder.mkdir()
    reason = "16-bit" if kelvin is None else "8-bit"
    for i in range(40):
        grey = rng.integers(60, 120, (128, 160), dtype=np.uint8)
        picture = grey.astype(np.uint16) if kelvin is None else grey
        cv2.imwrite(str(folder / f"{i:03}.png"), picture)
    model = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    device: dict[str, object] = {"id": "cam-01", "source": str(folder), "fps": 20.0, "idle_fps": 20.0, "model": str(model)}  # fmt: skip
    rows, events = await run_to_its_end(device | ({"kelvin_per_count": kelvin} if kelvin else {}))
    assert (False, reason) in rows
    ((told, data),) = events
    assert (told, data["reason"]) == ("camera.not-judged", reason)


def test_why_a_picture_is_not_judged_stands_in_its_readings() -> None:
    device = CameraDevice(id="cam-01", source="http://127.0.0.1:9/snap.jpg")
    spec, health, index = spec_of(device, 10.0), Health("cam-01"), 0
    names = [c.quantity for c in spec.channels]

    def told() -> tuple[object, object, object]:
        values, _ = values_of(spec, health.snapshot(0, Attention.IDLE), 0, {"smoke": 0.5})
        row = dict(zip(names, values, strict=True))
        return row["usable"], row["unjudged"], row["smoke"]

    def judged() -> None:
        nonlocal index
        index += 1
        health.developed((640, 480), Quality.GOOD, False, 0)
        health.looked(index, index)

    assert told() == (None, None, None)
    health.online()
    assert told() == (False, "no-picture", None)
    judged()
    assert told() == (True, "", 0.5)
    health.developed((640, 480), Quality.FROZEN, False, 0)
    health.looked(1, 1)
    assert told() == (False, "frozen", None)
    judged()
    for _ in range(UNJUDGED_AFTER - 1):
        health.rejected("truncated")
    assert told() == (True, "", 0.5)
    health.rejected("truncated")
    assert told() == (False, "truncated", None)
    judged()
    assert told() == (True, "", 0.5)
