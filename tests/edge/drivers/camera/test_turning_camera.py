"""A camera that turns, from what its head tells through its port to the bearing of what was seen."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from pydantic import ValidationError

from edge.drivers.camera.config import CameraConfig
from edge.drivers.camera.driver import CameraDriver
from edge.drivers.camera.learned import Learned
from edge.drivers.camera.scene import Scene
from edge.vision.observation import Box, Observation
from edge.vision.pose import Pose
from tocsin.testing import free_port, run_process, wait_until
from tocsin.testing.conformance.surroundings import Surroundings

USER, PASSWORD, ONSET = "operator", "s3cret-word", 24
POSE = {"lat": 22.5, "lon": 114.0, "azimuth_deg": 200.0, "hfov_deg": 60.0}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cool hillside in 0.04 K counts, and from frame 24 on a fire in its middle that grows."""
    folder = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(1)
    slope = np.linspace(8.0, 16.0, 120)[:, None] * np.ones((1, 160))
    for i in range(90):
        degrees = slope + rng.normal(0.0, 0.08, slope.shape)
        if i >= ONSET:
            half = 1 + (i - ONSET) // 8
            degrees[60 - half : 60 + half, 80 - half : 80 + half] = 180.0 + i
        counts = np.round((degrees + 273.15) / 0.04).astype(np.uint16)
        assert cv2.imwrite(str(folder / f"{i:04d}.png"), counts)
    return folder


@contextmanager
def head(protocol: str, *args: str) -> Iterator[str]:
    """Where a virtual camera listens."""
    argv = [sys.executable, "-m", f"firmware_bridges.{protocol}.device", "--user", f"{USER}:{PASSWORD}", *args]  # fmt: skip
    with run_process(argv) as process:
        yield json.loads(process.wait_line("ready"))["port"]


def config(frames: Path | str, ptz: dict[str, object] | None, **options: object) -> CameraConfig:
    device: dict[str, object] = {
        "id": "cam-01",
        "source": str(frames),
        "username": USER,
        "password": PASSWORD,
        "kelvin_per_count": 0.04,
        "fps": 12.0,
        "idle_fps": 12.0,
        "repeat": True,
        "pose": POSE,
        "ptz": ptz,
        **options,
    }
    return CameraConfig.model_validate(
        {"type": "camera", "name": "ridge", "period_s": 1.0, "devices": [device]}
    )


async def first_detection(
    given: CameraConfig,
) -> tuple[dict[str, Any], list[tuple[str, str]], Surroundings]:
    """(what was confirmed, all events until then, the rest)."""
    around, events, found = Surroundings("ridge"), list[tuple[str, str]](), list[dict[str, Any]]()

    async def tell(kind: str, device: str, text: str, data: dict[str, Any]) -> None:
        events.append((kind, text))
        if kind == "vision.detection" and data["change"] == "confirmed":
            found.append(data)

    context = msgspec.structs.replace(around.context, tell=tell)
    task = asyncio.create_task(CameraDriver(given, context).run())
    try:
        await wait_until(lambda: found or task.done(), 60.0)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return found[0], events, around


ISAPI_AT = ("--azimuth", "1500", "--elevation", "150", "--zoom", "40")
ISAPI = {"protocol": "isapi", "every_s": 0.2}
ONVIF = {"protocol": "onvif", "every_s": 0.2, "pan_deg": (-30.0, 330.0), "tilt_deg": (-30.0, 0.0), "zoom_most": 25.0}  # fmt: skip


@pytest.mark.parametrize(
    ("ptz", "args"), [(ISAPI, ISAPI_AT), (ONVIF, ())], ids=["isapi", "onvif"]
)  # fmt: skip
async def test_a_fire_has_the_bearing_of_where_its_camera_turned_to(frames: Path, ptz: dict[str, Any], args: tuple[str, ...]) -> None:  # fmt: skip
    with head(ptz["protocol"], *args) as port:
        given = config(frames, {**ptz, "address": f"http://{port}"})
        probed = await CameraDriver(given, Surroundings("ridge").context).probe()
        told, events, _ = await first_detection(given)
    assert [line.ok for line in probed] == [True]
    assert "looks to 350.0 deg, -15.0 deg up" in probed[0].text
    assert told["bearing"] == pytest.approx(350.0, abs=1.5)
    assert told["bearing_error"] < 2.5
    assert told["elevation"] == pytest.approx(-15.0, abs=4.0)
    assert "camera.no-bearing" not in [kind for kind, _ in events]


@pytest.mark.parametrize("how", ["silent", "gone", "wrong-password"])
async def test_a_camera_that_does_not_say_where_it_looks_gives_pictures_all_the_same(frames: Path, how: str) -> None:  # fmt: skip
    with head("isapi", "--answers", "silent" if how == "silent" else "well") as port:
        address = f"http://127.0.0.1:{free_port()}" if how == "gone" else f"http://{port}"
        password = {"password": "wrong-word"} if how == "wrong-password" else {}
        given = config(frames, {**ISAPI, "address": address}, **password)
        told, events, around = await first_detection(given)
        lines = await CameraDriver(given, Surroundings("ridge").context).probe()
    assert ONSET <= told["frame"] <= ONSET + 12
    assert "bearing" not in told or told["bearing"] is None
    said = [text for kind, text in events if kind == "camera.no-bearing"]
    if how != "silent":  # its time may not be over yet
        assert len(said) == 1
    assert around.up == {"cam-01"}
    assert around.errors == []
    assert [line.ok for line in lines] == [False]
    assert "no bearing: " in lines[0].text
    shown = " ".join([*said, lines[0].text])
    assert PASSWORD not in shown
    assert "wrong-word" not in shown


def test_two_cameras_agree_only_while_the_one_that_turns_knows_where_it_looks() -> None:
    fixed = {"id": "cam-1", "source": "frames", "pose": {**POSE, "azimuth_deg": 45.0}}
    turns = {
        "id": "cam-2",
        "source": "frames",
        "pose": {**POSE, "lon": 114.1},
        "ptz": {"protocol": "isapi", "address": "http://192.0.2.1"},
    }
    given = CameraConfig.model_validate(
        {"type": "camera", "name": "ridge", "devices": [fixed, turns]}
    )
    devices = {d.id: d for d in given.devices}

    def why(error_deg: float) -> str:
        """What confirmed the smoke at cam-1, which stands for too short to need no other sign."""
        pose = Pose(315.0, 0.0, 60.0, error_deg=error_deg)
        scene = Scene(devices, dict.fromkeys(devices, Learned()), lambda *_: pose)
        told = []
        for i in range(20):
            for camera in ("cam-2", "cam-1"):
                box = Box("smoke", 0.8, 300, 200, 40, 40)
                boxes, score = ((box,), 0.8) if i >= 10 else ((), 0.05)
                at = 1_790_000_000_000_000_000 + i * 60_000_000_000
                seen = Observation(camera, i, at, 640, 480, {"smoke": score}, boxes)
                told += [c.told for c in scene.see(seen) if c.told and camera == "cam-1"]
        return " ".join(told[0].why) if told else ""

    assert "cam-2" in why(1.0)
    assert "cam-2" not in why(30.0)


@pytest.mark.parametrize(
    ("source", "ptz", "asked"),
    [
        ("rtsp://10.0.0.7/live", ISAPI, "http://10.0.0.7"),
        ("rtsp://[fe80::7]:8554/live", ISAPI, "http://[fe80::7]"),
        ("https://10.0.0.7:8443/snap.jpg", ISAPI, "https://10.0.0.7:8443"),
        ("onvif://10.0.0.7:8000", ONVIF, "http://10.0.0.7:8000"),
        ("frames", {**ISAPI, "address": "https://10.0.0.9"}, "https://10.0.0.9"),
    ],
)
def test_a_camera_is_asked_at_the_host_of_its_pictures_unless_told_otherwise(source: str, ptz: dict[str, object], asked: str) -> None:  # fmt: skip
    given = config(source, ptz)
    assert given.devices[0].head == asked
    host = asked.partition("://")[2].strip("[]")
    assert any(end.kind == "connect" and end.address.startswith(host) for end in given.endpoints())


@pytest.mark.parametrize(
    ("ptz", "options", "said"),
    [
        (ISAPI, {}, "the camera's web server"),
        (ISAPI, {"source": "rtsp://10.0.0.7/live", "pose": None}, "where it looks at pan 0"),
        ({**ISAPI, "address": "http://a:b@10.0.0.7"}, {}, "no account in the address"),
        ({**ISAPI, "address": "10.0.0.7"}, {}, "an address like"),
        ({"protocol": "onvif", "address": "http://10.0.0.7"}, {}, "how many times it zooms"),
    ],
)
def test_mistakes_in_how_a_camera_that_turns_is_asked_are_said(ptz: dict[str, object], options: dict[str, object], said: str) -> None:  # fmt: skip
    with pytest.raises(ValidationError, match=said):
        config("frames", ptz, **options)
