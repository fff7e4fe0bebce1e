"""A thermal camera that moves forgets what is usual, and is found out when it was turned while it was off."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.frame import Frame
from edge.vision.observation import Observation
from edge.vision.packed_heat import PackedHeat
from edge.vision.pipeline.develop import Developer, Radiometry
from edge.vision.sources.source import Raw
from edge.vision.thermal import HotSpots
from edge.vision.watch.kept import read_kept
from tests.edge.vision.scenes import scene
from tocsin.cli.root import dispatch

K_PER_COUNT = 0.04
WIDE, HIGH = 320, 240
SECOND_NS, MINUTE_S = 1_000_000_000, 60
NOON_NS = 20_000 * 86_400 * SECOND_NS + 43_200 * SECOND_NS
ROOF_C = 95.0


def view(x: int, seed: int, warmer: float = 0.0, contrast: float = 1.0) -> Raw:
    """Counts of ground of 10 to 30 degrees C with a hot roof, seen `x` px further to the right."""
    ground = scene(3 * WIDE, HIGH)[:, :, 0].astype(np.float64) / 12
    celsius = 20 + warmer + contrast * (ground - ground.mean())
    celsius[100:116, 200:216] = ROOF_C
    noise = np.random.default_rng(seed).normal(0, 0.06, (HIGH, WIDE))
    seen = celsius[:, x : x + WIDE] + noise
    return np.asarray(np.round((seen + 273.15) / K_PER_COUNT), np.uint16)


class Camera:
    """A look each `step_s`."""

    def __init__(self, spots: HotSpots | None = None, at_s: float = 0.0) -> None:
        self._developer = Developer("heat", radiometry=Radiometry(K_PER_COUNT))
        self.spots = spots or HotSpots()
        self.at_s, self._index = at_s, 0

    def sees(self, raw: Raw, step_s: float) -> Observation:
        self._index, self.at_s = self._index + 1, self.at_s + step_s
        at_ns = int(self.at_s * SECOND_NS)
        frame = self._developer.develop(raw, self._index, NOON_NS + at_ns, at_ns)
        assert isinstance(frame, Frame)
        return self.spots.look(frame)

    def stands(self, x: int, times: int, step_s: float = MINUTE_S, **more: float) -> list[Observation]:  # fmt: skip
        return [self.sees(view(x, self._index, **more), step_s) for _ in range(times)]


def restarted(camera: Camera, after_s: float) -> Camera:
    packed = camera.spots.kept()
    assert packed is not None
    spots = HotSpots()
    spots.goes_on(msgspec.msgpack.decode(msgspec.msgpack.encode(packed), type=PackedHeat))
    return Camera(spots, camera.at_s + after_s)


def knowing() -> Camera:
    camera = Camera()
    assert all(seen.boxes for seen in camera.stands(0, 20))
    camera.stands(0, 10)
    assert camera.stands(0, 1)[0].boxes == ()
    return camera


def test_a_thermal_camera_that_moved_knows_nothing_as_usual_though_it_comes_back() -> None:
    camera = knowing()
    assert camera.stands(40, 1)[0].moved
    assert not camera.spots.knows
    assert camera.stands(0, 1, 12)[0].moved
    assert all(seen.boxes for seen in camera.stands(0, 10, 12))


def test_one_that_swings_just_after_a_restart_elsewhere_forgets_the_map_of_the_last_run() -> None:
    camera = restarted(knowing(), 600)
    camera.stands(40, 1, 12)
    camera.stands(12, 2, 12)
    assert all(seen.boxes for seen in camera.stands(40, 20, 12))
    assert not camera.spots.knows


@pytest.mark.parametrize("x", [12, 40, 60])
def test_a_thermal_camera_that_was_turned_while_it_was_off_says_moved_once_and_begins_anew(
    x: int,
) -> None:
    camera = restarted(knowing(), 600)
    seen = camera.stands(x, 8, 12)
    assert [one.moved for one in seen] == [False, False, True] + [False] * 5
    assert all(one.boxes for one in seen)
    assert not camera.spots.knows


@pytest.mark.parametrize(("warmer", "contrast"), [(0, 1), (8, 0.3), (-15, 0.5), (5, -0.6), (0, 0)])
def test_one_that_was_not_is_the_same_in_other_weather(warmer: float, contrast: float) -> None:
    camera = restarted(knowing(), 3 * 3600)
    seen = camera.stands(0, 70, 12, warmer=warmer, contrast=contrast)
    assert not any(one.moved for one in seen)
    assert camera.spots.knows


def record(folder: Path, x: int, frames: int) -> Path:
    folder.mkdir()
    for i in range(frames):
        counts: NDArray[np.uint16] = view(x, i)
        cv2.imwrite(str(folder / f"{i:03}.png"), counts)
    return folder


def test_a_recording_of_a_turned_thermal_camera_says_moved_and_its_map_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    more = ("--kelvin", "0.04", "--every", "60", "--state", str(state), "--json")
    known, turned = record(tmp_path / "known", 0, 30), record(tmp_path / "turned", 40, 8)
    assert dispatch(["vision", "watch", str(known), *more]) == 0
    kept = read_kept(state)
    assert kept is not None
    assert kept.warmth is not None
    capsys.readouterr()
    assert dispatch(["vision", "watch", str(turned), *more]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["frame"]) for line in lines if line["event"] == "moved"] == [("moved", 2)]  # fmt: skip
    kept = read_kept(state)
    assert kept is not None
    assert kept.warmth is None
