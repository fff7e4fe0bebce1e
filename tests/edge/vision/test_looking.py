"""A model that looks at live cameras: what is looked at often does not become part of its own reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.vision.frame import Frame, Picture
from edge.vision.nn.load import load_detector
from edge.vision.pipeline.looking import ModelLook
from edge.vision.pipeline.pace import Attention
from edge.vision.watch.eye import Eye
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model

S = 1_000_000_000


@pytest.mark.parametrize(("apart_s", "still_seen"), [(2.0, True), (0.0, False)])
def test_smoke_that_is_looked_at_five_times_a_second_stays_smoke(tmp_path: Path, apart_s: float, still_seen: bool) -> None:  # fmt: skip
    look = ModelLook(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)), apart_s=apart_s)  # fmt: skip
    quiet = np.full((256, 320, 3), 90, np.uint8)
    smoke = quiet.copy()
    smoke[64:128, 64:128] = 200

    def score(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], index: int, ts_ns: int) -> float:  # fmt: skip
        looked = look(Frame("cam", index, ts_ns, picture))
        (observation,) = looked.observations
        assert (looked.attention is Attention.OPEN) == bool(observation.boxes)
        return observation.scores["smoke"]

    for i in range(13):
        assert score(quiet, i, i * 2 * S) == 0
    seen = [score(smoke, 13 + i, 26 * S + i * S // 5) for i in range(10)]
    assert seen[0] > 0.3
    assert (seen[-1] > 0.3) is still_seen


def test_a_moved_camera_begins_anew_and_a_thermal_frame_is_no_models(tmp_path: Path) -> None:
    look = ModelLook(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)))
    dark, bright = (np.full((256, 320, 3), level, np.uint8) for level in (60, 200))
    for i in range(6):
        look(Frame("cam", i, i * 2 * S, dark))
    (moved,) = look(Frame("cam", 6, 12 * S, bright, moved=True)).observations
    assert (moved.scores["smoke"], moved.moved) == (0, True)
    celsius = np.zeros((64, 64), np.float32)
    assert look(Frame("hot", 0, 0, None, celsius, celsius == 0)).observations == ()


def test_smoke_that_stands_is_seen_as_long_as_its_alarm_is_open_but_a_false_alarm_ends(
    tmp_path: Path,
) -> None:
    eye = Eye(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)))
    quiet = np.full((256, 320, 3), 90, np.uint8)
    smoke = quiet.copy()
    smoke[100:140, 50:120] = 240

    def look(picture: Picture, half_seconds: int, *, learn: bool, moved: bool = False) -> float:
        frame = Frame(
            "hill", half_seconds, half_seconds * S // 2, picture, moved=moved
        )  # twice a second
        return eye.look(frame, learn=learn).scores["smoke"]

    for i in range(100):
        look(quiet, i, learn=True)
    assert look(smoke, 100, learn=True) > 0.5
    standing = [look(smoke, i, learn=False) for i in range(101, 1300)]  # for ten minutes
    assert min(standing) > 0.5
    after = [look(smoke, i, learn=False) for i in range(1300, 1400)]
    assert after[-1] < 0.1
    for i in range(1400, 1500):
        look(quiet, i, learn=True)
    assert look(smoke, 1500, learn=True) > 0.5
    look(quiet, 1501, learn=False, moved=True)
    for i in range(1502, 1510):
        look(quiet, i, learn=False)
    assert (
        look(smoke, 1510, learn=False) > 0.5
    )  # it has a reference again although an alarm is open
