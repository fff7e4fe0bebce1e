"""`tocsin vision watch`: recorded frames as a live camera, through a real graph and the whole judging."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.vision.flame import FLICKERING, Flames
from edge.vision.frame import Frame, Picture
from edge.vision.observation import Box
from edge.vision.pipeline.develop import as_bgr
from edge.vision.sources.source import Reject
from edge.vision.sources.video import VideoSource
from edge.vision.watch.kept import read_kept
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tests.edge.vision.scenes import oriented, scene
from tocsin.cli.root import dispatch
from tocsin.sdk import SystemClock

ONSET = 36


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Smoke is what got brighter than this camera's reference."""
    settings = HEAT_SETTINGS.replace("back = [1, 3]", "back = [4, 12]").replace("0.4", "0.1")
    return write_model(tmp_path / "model", heat_graph(gain=6.0), settings)


def hill(index: int, smoke: int) -> Picture:
    """A hillside (320 x 240) under a sky that changes; `smoke` frames after its onset, None before it."""
    picture = scene(320, 240, seed=3).mean(axis=2, keepdims=True).repeat(3, axis=2) * 0.5
    rng = np.random.default_rng(index)
    picture[:100] += 8 * np.sin(index / 7) + 20 * np.sin(np.arange(320) / 30 + index / 20)[:, None]
    if smoke > 0:
        plume = np.zeros((240, 320), np.float32)
        height = 20 + 6 * smoke
        cv2.ellipse(plume, (200, 165 - height // 2), (15 + 2 * smoke, height), 0, 0, 360, 1, -1)
        soft = np.asarray(cv2.GaussianBlur(plume, (15, 15), 0), np.float32)[..., None]
        picture += soft * min(100, 40 + 15 * smoke)
    return np.asarray(np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255), np.uint8)


def record(folder: Path, frames: int, onset: int | None) -> Path:
    """With a half-grey, a repeated and a truncated frame among them."""
    folder.mkdir()
    data = b""
    for i in range(frames):
        picture = hill(i, 0 if onset is None else i - onset + 1)
        if i in (7, 20):
            picture[100:] = 128
        if i not in (13, 14):
            data = cv2.imencode(".jpg", picture)[1].tobytes()
        (folder / f"{i:04}.jpg").write_bytes(data[: len(data) // 2] if i == 25 else data)
    return folder


def watch(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[list[dict[str, Any]], str]:
    code = dispatch(["vision", "watch", *args, "--json"])
    out, told = capsys.readouterr()
    assert code == 0, out + told
    return [json.loads(line) for line in out.splitlines()], told


def test_smoke_over_a_hill_alarms_within_three_frames_of_its_onset_and_not_before(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lapse = record(tmp_path / "lapse", ONSET + 12, ONSET)
    lines, told = watch(capsys, str(lapse), "--model", str(model))
    alarms = [line for line in lines if line["event"] == "alarm"]
    assert [a["label"] for a in alarms] == ["smoke"]
    (alarm,) = alarms
    assert ONSET <= alarm["frame"] <= ONSET + 3
    assert alarm["file"] == f"{alarm['frame']:04}.jpg"
    assert alarm["since_frame"] >= ONSET
    box = alarm["box"]
    assert 150 < box["x"] + box["width"] / 2 < 250
    assert {"persistence", "score", "stays"} <= {t["name"] for t in alarm["tests"] if t["passed"]}
    assert alarm["en"].startswith("Smoke in 2 of the last 2 frames, score ")
    assert alarm["zh"].startswith("烟雾：最近")
    assert "2 half-grey" in told
    assert "2 frozen" in told
    assert "1 truncated" in told
    assert "1 alarms" in told


def test_a_lapse_of_pictures_that_lie_on_their_side_is_watched_upright(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lapse = record(tmp_path / "lapse", ONSET + 6, ONSET)
    for file in lapse.iterdir():
        picture = cv2.imread(str(file))
        assert picture is not None
        data = cv2.imencode(".jpg", cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE))[1]
        file.write_bytes(oriented(data.tobytes(), 6))
    lines, _ = watch(capsys, str(lapse), "--model", str(model))
    (box,) = (line["box"] for line in lines if line["event"] == "alarm")
    assert 150 < box["x"] + box["width"] / 2 < 250
    assert 40 < box["y"] + box["height"] / 2 < 200


def test_a_quiet_hill_never_alarms_and_what_it_taught_is_kept_for_the_next_run(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, state = record(tmp_path / "quiet", 45, None), tmp_path / "state.json"
    for _ in range(2):
        lines, _ = watch(capsys, str(quiet), "--model", str(model), "--state", str(state))
        assert lines == []
    kept = json.loads(state.read_text().splitlines()[1])
    learned = kept["watch"]["lessons"]["calibration"]["curves"]
    assert {key.split("/")[0] for key in learned} == {"smoke", "fire"}
    frames = sum(sum(curve["weights"].values()) for k, curve in learned.items() if "smoke" in k)
    assert frames > 50  # the first of the first run tell only what is usual
    assert kept["heat"]["infrared"]["model"] == "trial 1"


def test_masks_and_numbers_of_the_judging_come_from_a_file_and_the_command_line(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lapse, judge = record(tmp_path / "lapse", ONSET + 8, ONSET), tmp_path / "judge.toml"
    judge.write_text(
        "schema = 1\n[[masks]]\npoints = [[0.3, 0.0], [1.0, 0.0], [1.0, 1.0], [0.3, 1.0]]\n"
    )
    lines, _ = watch(capsys, str(lapse), "--model", str(model), "--judge", str(judge))
    assert lines == []
    lines, _ = watch(capsys, str(lapse), "--model", str(model), "--k", "6")
    assert [line["frame"] - ONSET for line in lines if line["event"] == "alarm"] == [5]
    judge.write_text("schema = 1\nk = 3\nhysteresis = 2\n")
    assert dispatch(["vision", "watch", str(lapse), "--judge", str(judge), "--json"]) == 3
    assert "hysteresis" in capsys.readouterr().out
    for wrong in (["--k", "4", "--n", "2"], ["--kelvin", "11"], ["--budget", "0"]):
        assert dispatch(["vision", "watch", str(lapse), "--model", str(model), *wrong]) == 2
    assert dispatch(["vision", "watch", str(tmp_path / "none"), "--model", str(model)]) == 9
    capsys.readouterr()


def test_a_folder_of_thermal_counts_needs_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "heat"
    folder.mkdir()
    rng = np.random.default_rng(2)
    ground = cv2.resize(rng.normal(290, 4, (12, 16)).astype(np.float32), (160, 120))
    for i in range(20):
        kelvin = np.asarray(ground, np.float32) + rng.normal(0, 0.05, (120, 160))
        if i >= 15:
            kelvin[60 : 62 + i - 15, 80 : 82 + i - 15] = 420
        cv2.imwrite(str(folder / f"{i:03}.png"), np.round(kelvin / 0.01).astype(np.uint16))
    lines, _ = watch(capsys, str(folder), "--kelvin", "0.01", "--every", "10")
    assert [(line["event"], line["label"], line["frame"]) for line in lines] == [
        ("alarm", "hot-spot", 17)
    ]


def test_a_burning_doll_house_alarms_and_its_flames_lie_where_people_saw_them(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Footage: furg-fire-dataset, CC0. The model is blind here: flames are told by colour and flicker."""
    video = shared_data / "fire-smoke" / "extras" / "furg_house6.mp4"
    blind = write_model(tmp_path / "blind", heat_graph(gain=0.0), HEAT_SETTINGS)
    lines, _ = watch(capsys, str(video), "--model", str(blind))
    alarms = [line for line in lines if line["event"] == "alarm"]
    assert {a["label"] for a in alarms} == {"fire"}
    assert alarms[0]["frame"] <= 9 * 30  # its first eight looks raise no alarm
    assert "flicker" in {t["name"] for t in alarms[0]["tests"] if t["passed"]}

    truth = json.loads(video.with_suffix(".json").read_text())["boxes_xywh"]
    frames = found = boxes = right = 0
    for index, seen in flickering(video):
        real = [Box("fire", 1, *place) for place in truth[str(index)]]
        frames += 1
        found += any(covered(r, s) >= 0.3 for r in real for s in seen)
        boxes += len(seen)
        right += sum(any(max(covered(s, r), covered(r, s)) >= 0.3 for r in real) for s in seen)
    assert frames >= 25
    assert found / frames >= 0.6, (found, frames)
    assert right / boxes >= 0.5, (right, boxes)


def flickering(video: Path) -> Iterator[tuple[int, list[Box]]]:
    """The places that flicker as flames do, once a second."""
    source, flames, index = (
        VideoSource(video, SystemClock(), lambda _: False, paced=False),
        Flames(),
        -1,
    )
    with closing(source):
        source.open()
        while source.grab():
            index += 1
            raw = source.retrieve()
            assert not isinstance(raw, Reject)
            frame = Frame("cam", index, 10**9 + index * 10**9 // 30, as_bgr(raw))
            if index % 30 == 29 and index > 60:
                yield index, [b for b in flames.look(frame).boxes if b.score >= FLICKERING]
            else:
                flames.add(frame)


def covered(one: Box, by: Box) -> float:
    across = min(one.x + one.width, by.x + by.width) - max(one.x, by.x)
    down = min(one.y + one.height, by.y + by.height) - max(one.y, by.y)
    return max(0, across) * max(0, down) / (one.width * one.height)


def test_a_roof_that_a_run_found_usual_is_usual_in_the_next_one(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, state = record(tmp_path / "known", 45, None), tmp_path / "state.json"
    watch(capsys, str(known), "--model", str(model), "--state", str(state))
    first = read_kept(state)
    assert first is not None
    watch(capsys, str(known), "--model", str(model), "--state", str(state))
    second = read_kept(state)
    assert second is not None
    assert second.heat["infrared"].frames > first.heat["infrared"].frames + 20
    newer = write_model(
        tmp_path / "newer",
        heat_graph(gain=5.0),
        (model / "model.toml").read_text().split("\n", 6)[6],
    )
    text = (newer / "model.toml").read_text().replace('version = "1"', 'version = "2"')
    (newer / "model.toml").write_text(text)
    _, told = watch(capsys, str(known), "--model", str(newer), "--state", str(state))
    assert "what is usual here was found by trial 1: it is learned anew" in told


def test_a_camera_that_was_turned_between_two_runs_says_moved_once(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, state = record(tmp_path / "known", 45, None), tmp_path / "state.json"
    watch(capsys, str(known), "--model", str(model), "--state", str(state))
    turned = tmp_path / "turned"
    turned.mkdir()
    for i, file in enumerate(sorted(known.iterdir())):
        picture = cv2.imread(str(file))
        if picture is not None:
            half = np.concatenate([picture[:, 160:], picture[::-1, :160]], axis=1)
            cv2.imwrite(str(turned / f"{i:04}.jpg"), half[:, ::-1])
    lines, _ = watch(capsys, str(turned), "--model", str(model), "--state", str(state))
    assert [line["event"] for line in lines] == ["moved", "watching"]
    kept = read_kept(state)
    assert kept is not None
    assert kept.heat["infrared"].frames < 40  # learned anew
    lines, _ = watch(capsys, str(turned), "--model", str(model), "--state", str(state))
    assert lines == []


def test_a_thermal_roof_that_a_run_found_usual_is_in_the_state_for_the_next_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, state, rng = tmp_path / "thermal", tmp_path / "state.json", np.random.default_rng(5)
    folder.mkdir()
    for i in range(30):
        celsius = rng.normal(20, 0.1, (48, 64))
        celsius[16:24, 24:32] = 70
        counts = np.round((celsius + 273.15) / 0.04).astype(np.uint16)
        cv2.imwrite(str(folder / f"{i:03}.png"), counts)
    given = (str(folder), "--kelvin", "0.04", "--every", "60", "--state", str(state))
    watched = list[float]()
    for _ in range(2):
        watch(capsys, *given)
        kept = read_kept(state)
        assert kept is not None
        assert kept.warmth is not None
        watched.append(sum(hour.watched_s for hour in kept.warmth.hours.values()))
    assert watched[1] > watched[0] + 600


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no state"),
        ("{}", "no state"),
        ('{"tocsin": "outbox", "version": 1, "sha256": ""}', "another kind"),
        ('{"tocsin": "vision-watch", "version": 9, "sha256": ""}', "version 9"),
        ('{"tocsin": "vision-watch", "version": 1, "sha256": "00"}\n{}', "damaged"),
        (f'{{"tocsin": "vision-watch", "version": 1, "sha256": "{hashlib.sha256(b"[]").hexdigest()}"}}\n[]', "does not hold"),
    ],
)  # fmt: skip
def test_a_state_file_that_is_none_or_damaged_is_refused_before_a_frame_is_looked_at(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    folder, state = record(tmp_path / "lapse", 2, None), tmp_path / "state.json"
    state.write_text(text)
    assert dispatch(["vision", "watch", str(folder), "--model", str(model), "--state", str(state)]) == 2  # fmt: skip
    assert says in capsys.readouterr().err
    assert state.read_text() == text
