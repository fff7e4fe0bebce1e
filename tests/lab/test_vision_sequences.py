"""What false alarms per camera-day are counted on: days without fire, and a fire at noon of the day after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.vision.nn.load import load_detector
from edge.vision.watch.options import JudgeOptions
from scripts.vision_sequences import alarms, by_time, timed, totals, week
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.lab.forest.sky import Picture, Sky

DAY_FRAMES = 24


def test_smoke_rises_from_noon_of_the_day_after_and_never_before() -> None:
    pictures = list(week(3, 2, DAY_FRAMES))
    noon = 2 * DAY_FRAMES + DAY_FRAMES // 2
    assert len(pictures) == noon + 30
    sky = Sky(3, weather=2)
    for index in (noon - 1, noon + 1):
        plain = np.asarray(sky.frame(index % DAY_FRAMES), np.float32)
        seen = pictures[index].reshape(240, 2, 320, 2, 3).mean(axis=(1, 3))
        differing = float((np.abs(seen - plain).max(axis=2) > 15).mean())
        assert (differing > 0.01) == (index >= noon), (index, differing)


def test_each_day_of_a_week_has_another_weather_over_the_same_hill() -> None:
    first, second = (next(p for i, p in enumerate(week(5, 2, DAY_FRAMES)) if i == at) for at in (12, DAY_FRAMES + 12))  # fmt: skip
    above, below = np.s_[:150], np.s_[330:]
    apart = np.abs(first.astype(np.float32) - second.astype(np.float32)).mean(axis=2)
    assert apart[above].mean() > 2 * apart[below].mean()


def test_an_alarm_is_counted_at_its_frame_by_the_rules_of_a_live_camera(tmp_path: Path) -> None:
    settings = HEAT_SETTINGS.replace("back = [1, 3]", "back = [4, 12]")
    detector = load_detector(write_model(tmp_path / "m", heat_graph(gain=6.0), settings))
    rng = np.random.default_rng(0)
    ground = np.asarray(checks(rng, 240, 320), np.uint8)

    def frames(count: int, onset: int) -> list[Picture]:
        out = []
        for i in range(count):
            picture = np.clip(ground + rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)
            if i >= onset:
                side = 12 + 6 * (i - onset)
                picture[150 - side : 150, 100 : 100 + side] = 220
            out.append(picture)
        return out

    judged = JudgeOptions().settings(60.0)
    assert list(alarms(detector, judged, frames(40, 99), 60.0)) == []
    (raised,) = list(alarms(detector, judged, frames(40, 30), 60.0))
    assert 30 <= raised <= 33
    seen = frames(40, 30)
    for box, labelled, row in (
        ((100, 100, 50, 50), 30, (30, 0, raised - 30)),
        ((100, 100, 50, 50), 38, (38, 0, raised - 38)),  # people label late
        ((250, 10, 20, 20), 38, (38, 1, None)),
        ((100, 100, 50, 50), 39, (39, 0, raised - 39)),
    ):
        data = tmp_path / f"{labelled}-{box[0]}"
        told = taken(data, seen, box, labelled)
        (found,) = (timed(detector, judged, n, f) for n, f in by_time(data, {"g"}, told).items())
        assert (found["quiet_frames"], found["false_alarms"], found["first_alarm"]) == row
    told[next(iter(told))] = "20190715.020000"
    lengths = {name: len(f) for name, f in by_time(data, {"g"}, told).items()}
    assert lengths == {"g 2019-07-14 12:01": 39, "g 2019-07-15 02:00": 1}
    for wrong in ("20190714.1201", "20190714.126107"):
        with pytest.raises(SystemExit, match="is no time such as"):
            by_time(data, {"g"}, told | {next(iter(told)): wrong})


def taken(
    data: Path, pictures: list[Picture], box: tuple[int, int, int, int], labelled: int
) -> dict[str, str]:
    """A folder of a picture a minute whose names say nothing about their order; the times by name."""
    (data / "images").mkdir(parents=True)
    images, notes, times = [], [], {}
    for i, picture in enumerate(pictures):
        name = f"{i * 17 % len(pictures):02}.png"
        cv2.imwrite(str(data / "images" / name), picture)
        images.append({"id": i, "file_name": name, "group": "g"})
        times[name] = f"20190714.12{i:02}07"
        if i >= labelled:
            notes.append({"image_id": i, "bbox": box})
    for name, part in (("train", images[:9]), ("val", images[9:])):
        (data / f"{name}.json").write_text(json.dumps({"images": part, "annotations": notes}))
    return times


def checks(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Ground with edges, so that it is no blank picture."""
    small = rng.uniform(30, 110, (height // 8, width // 8, 1))
    return np.asarray(small.repeat(8, 0).repeat(8, 1).repeat(3, 2), np.uint8)


def test_totals_count_by_camera_day_and_by_sequence() -> None:
    rows: list[dict[str, Any]] = [
        {"quiet_frames": 1440, "burning_frames": 0, "false_alarms": 2, "first_alarm": None},
        {"quiet_frames": 1440, "burning_frames": 30, "false_alarms": 0, "first_alarm": 3},
        {"quiet_frames": 0, "burning_frames": 9, "false_alarms": 0, "first_alarm": None},
    ]
    told = totals(rows, 60.0)
    assert (told["camera_days"], told["false_alarms_per_camera_day"]) == (2.0, 1.0)
    assert (told["fires"], told["found"], told["within_3_frames"]) == (2, 1, 1)
    assert (told["precision"], told["recall"], told["false_positive_rate"]) == (0.5, 0.5, 0.5)
