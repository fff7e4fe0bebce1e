"""What a camera is judged by, and names that its model does not know."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.drivers.camera.config import CameraConfig, CameraDevice
from edge.drivers.camera.driver import CameraDriver
from edge.vision.judge.watch import EventKind, Watch, step
from edge.vision.watch.options import JudgeOptions
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tests.edge.vision.judge.observations import observed, smoke
from tocsin.errors import LinkError
from tocsin.testing.conformance.surroundings import Surroundings


def camera(**given: Any) -> CameraDevice:
    return CameraDevice.model_validate(
        {"id": "cam-01", "source": "http://127.0.0.1:9/snap.jpg", **given}
    )


@pytest.mark.parametrize(
    ("given", "apart_s"),
    [
        ({}, 0.2),
        ({"idle_fps": 1 / 60, "open_fps": 1 / 60}, 60.0),
        ({"fps": 1 / 60}, 60.0),
        ({"idle_fps": 1 / 60}, 0.2),
        ({"source": "rtsp://127.0.0.1/x", "fps": 1 / 60}, 0.2),
    ],
)
def test_a_gateway_judges_as_recorded_frames_are_judged(
    given: dict[str, Any], apart_s: float
) -> None:
    assert camera(**given).judging(()) == JudgeOptions().settings(apart_s)


def test_k_of_n_is_no_more_than_what_is_remembered_and_then_still_alarms() -> None:
    for wrong in ({"k": 61, "n": 61}, {"n": 100}, {"k": 4, "n": 3}):
        with pytest.raises(ValidationError):
            camera(**wrong)
    rules, watch, alarms = camera(k=60, n=60).judging(()), Watch(), []
    for i in range(400):
        boxes = [smoke(0.95)] if i >= 200 else []
        watch, events = step(watch, observed(i, *boxes), rules)
        alarms += [e.index for e in events if e.kind is EventKind.ALARM]
    assert alarms == [259]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"labels": ["smoke", "dog"]}, "labels"),
        ({"masks": [{"points": [[0, 0], [1, 0], [1, 1]], "labels": ["smok"]}]}, "masks"),
        ({"privacy": {"labels": ["face"]}}, "privacy"),
        ({"kelvin_per_count": 0.04, "labels": ["fire"]}, "labels"),
    ],
)
def test_a_class_that_the_model_does_not_have_is_refused_with_those_it_has(
    given: dict[str, Any], where: str
) -> None:
    with pytest.raises(ValidationError, match=rf"{where}.*a class of the model: ") as refused:
        camera(**given)
    classes = "hot-spot" if "kelvin_per_count" in given else "smoke, fire"
    assert classes in str(refused.value)


def test_a_model_that_is_not_here_yet_is_asked_for_its_classes_when_it_is_loaded(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "model"
    device = {"id": "cam-01", "source": str(tmp_path), "model": str(folder), "labels": ["dog"]}
    config = CameraConfig.model_validate({"type": "camera", "name": "ridge", "devices": [device]})
    write_model(folder, heat_graph(), HEAT_SETTINGS)
    driver = CameraDriver(config, Surroundings("ridge").context)
    with pytest.raises(LinkError, match=r"cam-01, labels\[0\]: .* no class 'dog'"):
        asyncio.run(driver.run())
