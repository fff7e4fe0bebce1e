"""What the cameras of a driver are judged by, and what becomes of a verdict."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.driver import CameraDriver
from edge.drivers.camera.learned import Learned
from edge.drivers.camera.scene import Scene
from edge.vision.judge.settings import Mask
from edge.vision.observation import Box, Observation
from edge.vision.watch.answer import Answer
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.contract.evidence import Detection
from tocsin.testing import wait_until
from tocsin.testing.conformance.surroundings import Surroundings

SECOND_NS = 1_000_000_000


def scene(**options: object) -> Scene:
    device = {"id": "cam-01", "source": "http://127.0.0.1:9/snap.jpg", **options}
    config = CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": [device]})
    return Scene({d.id: d for d in config.devices}, {"cam-01": Learned()})


def test_smoke_at_a_new_camera_must_score_more_than_flames() -> None:
    new = scene()
    assert new.limit("cam-01", "smoke", "visible", 10**18) == 0.75
    assert new.limit("cam-01", "fire", "visible", 10**18) == 0.6


def seen(index: int, *boxes: Box) -> Observation:
    scores = {"smoke": max((b.score for b in boxes), default=0.0)}
    return Observation("cam-01", index, index * SECOND_NS, 640, 480, scores, boxes)


def test_a_verdict_tells_the_eye_where_and_when_the_alarm_was_also_after_its_pictures_came() -> (
    None
):
    cameras = scene()
    told = [
        change.told
        for i in range(40)
        for change in cameras.see(
            seen(i, *[Box("smoke", 0.95, 300, 200, 40 + i, 40 + i)][: i > 20])
        )
        if change.told is not None
    ]
    (alarm,) = told
    assert cameras.with_evidence("cam-01", alarm.detection, [], 99 * SECOND_NS) is not None
    answer = cameras.judged("cam-01", alarm.detection, "rejected")
    x, y, width, height = alarm.box
    grown = (x - width / 4, y - height / 4, width * 1.5, height * 1.5)
    assert answer == Answer("smoke", grown, alarm.t, fire=False)
    assert cameras.judged("cam-01", alarm.detection, "confirmed").fire


def test_masks_of_the_configuration_hold_whatever_is_drawn_and_survives_a_restart() -> None:
    device = {"id": "cam-01", "source": "http://127.0.0.1:9/snap.jpg", "masks": [{"points": [[0, 0], [1, 0], [1, 0.5]]}]}  # fmt: skip
    given = CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": [device]})
    devices = {d.id: d for d in given.devices}
    fixed, drawn = Mask(((0, 0), (1, 0), (1, 0.5))), Mask(((0, 1), (1, 1), (0, 0.6)), ("smoke",))
    cameras = Scene(devices, {"cam-01": Learned()})
    assert cameras.masks("cam-01") == (fixed,)
    cameras.draw("cam-01", (drawn,))
    assert cameras.masks("cam-01") == (fixed, drawn)
    kept = msgspec.json.decode(msgspec.json.encode(cameras.learned("cam-01")), type=Learned)
    again = Scene(devices, {"cam-01": kept})
    assert again.masks("cam-01") == (fixed, drawn)
    again.draw("cam-01", ())
    assert again.masks("cam-01") == (fixed,)
    boxes = [Box("smoke", 0.95, 400, 20, 100 + i, 100 + i) for i in range(40)]  # in the fixed one
    assert not [c for i, box in enumerate(boxes) for c in again.see(seen(i, box))]
    assert [c for bare in [scene()] for i, box in enumerate(boxes) for c in bare.see(seen(i, box))]


def test_an_ending_is_told_with_a_time_after_everything_told_before_it_and_keeps_it() -> None:
    cameras = scene()
    changes = list[Detection]()
    for i in range(60):
        boxes = [Box("smoke", 0.95, 300, 200, 40 + i, 40 + i)][: 20 < i < 40]
        for change in cameras.see(seen(i, *boxes)):
            if change.told is not None:
                changes.append(change.told)
                if change.told.change == "confirmed":  # its pictures were drawn, long after
                    later = cameras.with_evidence(
                        "cam-01", change.told.detection, [], 99 * SECOND_NS
                    )
                    assert later is not None
                    changes.append(later)
    assert [c.change for c in changes] == ["confirmed", "updated", "ended"]
    assert [c.t for c in changes] == sorted(c.t for c in changes)
    told = cameras.with_evidence("cam-01", changes[0].detection, [], 200 * SECOND_NS)
    assert told is not None
    assert (told.change, told.t) == ("ended", changes[-1].t)


async def test_a_roof_that_is_rejected_while_it_is_looked_at_is_hot_no_more(tmp_path: Path) -> None:
    folder, rng = tmp_path / "frames", np.random.default_rng(4)
    folder.mkdir()
    for i in range(1500):
        picture = rng.normal(90, 2, (128, 160, 3))
        if i >= 40:
            half = min(20, 8 + 4 * (i - 40))  # full when it is told: more would be another thing
            picture[60 - half : 60 + half, 60 - 2 * half : 60 + 2 * half] = (20, 20, 230)
        cv2.imwrite(str(folder / f"{i:04}.png"), np.clip(picture, 0, 255).astype(np.uint8))
    model = write_model(tmp_path / "model", heat_graph(), HEAT_SETTINGS)
    device = {"id": "cam-01", "source": str(folder), "as_fast_as_looked_at": True, "idle_fps": 20.0, "open_fps": 20.0,
              "model": str(model), "labels": ["fire"]}  # fmt: skip
    given = CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": [device]})
    confirmed = list[str]()

    async def tell(kind: str, device: str, text: str, data: dict[str, Any]) -> None:
        if kind == "vision.detection" and data["change"] == "confirmed":
            confirmed.append(data["detection"])

    driver = CameraDriver(given, msgspec.structs.replace(Surroundings("ridge").context, tell=tell))
    task = asyncio.create_task(driver.run())
    try:
        await wait_until(lambda: confirmed or task.done(), 60.0)
        await wait_until(lambda: driver._seen["cam-01"]["fire"] > 0.6, 30.0)
        await driver.command(
            "cam-01", "verdict", {"detection": confirmed[0], "verdict": "rejected"}, 5.0
        )
        await wait_until(lambda: driver._seen["cam-01"]["fire"] < 0.35, 30.0)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_cameras_that_would_see_the_smoke_at_two_heights_do_not_agree() -> None:
    pose = {"lat": 40.0, "lon": 116.0, "azimuth_deg": 45.0, "height_m": 100.0}
    agreed = []
    for height_m in (100.0, 1500.0):
        other = {**pose, "lon": 116.1, "azimuth_deg": 315.0, "height_m": height_m}
        given = [{"id": f"cam-{i}", "source": "frames", "pose": p} for i, p in enumerate((pose, other))]  # fmt: skip
        config = CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": given})
        devices = {d.id: d for d in config.devices}
        cameras = Scene(devices, dict.fromkeys(devices, Learned()))
        for i in range(20):
            boxes = (Box("smoke", 0.8, 300, 200, 40, 40),)[: i >= 10]
            for name in devices:
                one = msgspec.structs.replace(seen(60 * i, *boxes), camera=name)
                told = [c.told.why[0] for c in cameras.see(one) if c.told]
                agreed += [height_m for why in told if "its bearing crosses" in why]
    assert set(agreed) == {100.0}


def test_a_fire_that_grew_is_told_as_the_same_detection_which_stays_where_it_was_confirmed() -> (
    None
):
    cameras = scene()
    told = list[Detection]()
    for i in range(0, 600, 5):
        size = 40.0 + i / 4
        boxes = [Box("smoke", 0.95, 300 - size / 2, 400 - size, size, size)][: 100 < i < 560]
        for change in cameras.see(seen(i, *boxes)):
            if change.told is not None:
                told.append(change.told)
    first, *grown, last = told
    assert {t.detection for t in told} == {first.detection}
    assert [t.change for t in told] == ["confirmed", *["updated"] * len(grown), "ended"]
    assert first.grown is None
    assert 1 <= len(grown) <= 3
    for before, one in itertools.pairwise(grown):
        assert before.grown is not None
        assert one.grown is not None
        assert one.grown.times > before.grown.times
    assert grown[-1].grown is not None
    assert grown[-1].grown.box[2] > first.box[2] * 1.4
    assert {t.box for t in told} == {first.box}
    assert last.grown == grown[-1].grown
    later = cameras.with_evidence("cam-01", first.detection, [], 700 * SECOND_NS)
    assert later is not None
    assert later.grown == last.grown
