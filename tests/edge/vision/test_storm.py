"""A mast that shakes and comes back to its place knows again what it knew there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.frame import Frame, Picture
from edge.vision.nn.load import load_detector
from edge.vision.observation import Observation
from edge.vision.pipeline.checks import thumbnail
from edge.vision.pipeline.develop import Developer
from edge.vision.pipeline.watching import same_view
from edge.vision.watch.answer import Answer
from edge.vision.watch.eye import Eye
from edge.vision.watch.home import Home
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model
from tocsin.lab.forest.sky import Sky

S = 1_000_000_000
WIDE, HIGH, EDGE = 320, 256, 60


def hill(seed: int = 1) -> Picture:
    """A hill with a red roof, with a border all around it."""
    size = WIDE + 2 * EDGE, HIGH + 2 * EDGE
    grey = cv2.cvtColor(Sky(seed).frame(12.0), cv2.COLOR_BGR2GRAY)
    picture = cv2.resize(cv2.merge([grey // 2, grey // 2 + 20, grey // 2 + 10]), size)
    picture[EDGE + 180 : EDGE + 212, EDGE + 60 : EDGE + 130] = (90, 90, 200)
    return np.asarray(picture, np.uint8)


class Mast:
    """A camera on it: developed and looked at, as a live one is."""

    def __init__(self, folder: Path) -> None:
        graph = heat_graph(gain=2.0)
        self.eye = Eye(load_detector(write_model(folder, graph, HEAT_SETTINGS)))
        self.developer, self.scene = Developer("hill"), hill()
        self.now_s, self.index, self.moves = 0, 0, 0

    def look(self, x: int = 0, y: int = 0, every_s: int = 1) -> Observation:
        self.now_s, self.index = self.now_s + every_s, self.index + 1
        rng = np.random.default_rng(self.index)
        whole = self.scene[EDGE + y : EDGE + y + HIGH, EDGE + x : EDGE + x + WIDE].astype(np.int16)
        picture = np.clip(whole + rng.integers(-3, 4, whole.shape), 0, 255).astype(np.uint8)
        ns = self.now_s * S
        frame = self.developer.develop(np.asarray(picture, np.uint8), self.index, ns, ns)
        assert isinstance(frame, Frame)
        seen = self.eye.look(frame)
        self.moves += seen.moved
        return seen

    def watches(self, times: int, every_s: int) -> list[Observation]:
        return [self.look(every_s=every_s) for _ in range(times)]

    def shakes(self, seconds: int) -> None:
        rng = np.random.default_rng(5)
        for _ in range(seconds):
            x, y = rng.integers(-EDGE, EDGE + 1, 2)
            self.look(int(x), int(y) // 2)


@pytest.fixture
def mast(tmp_path: Path) -> Mast:
    """It has watched for an hour."""
    mast = Mast(tmp_path)
    assert mast.watches(60, 60)[-1].scores["fire"] < 0.3  # the roof is usual
    return mast


def test_a_mast_that_shook_for_ten_minutes_knows_its_place_again(mast: Mast) -> None:
    kept = mast.eye.kept()["visible"]
    mast.shakes(600)
    assert mast.moves > 100
    during = mast.eye.kept()["visible"]  # a restart in the storm forgets nothing
    assert (during.frames, during.outline) == (kept.frames, kept.outline)
    after = mast.watches(60, 1)
    assert not after[1].settled  # whether it is back must be seen first
    assert after[-1].settled
    assert max(seen.scores["fire"] for seen in after[45:]) < 0.3
    assert mast.eye.kept()["visible"].frames == kept.frames
    brighter = np.array((0, 90, 0), np.int16)
    mast.scene = np.asarray(np.clip(mast.scene + brighter, 0, 255), np.uint8)
    assert mast.look().scores["smoke"] > 0.3  # brighter than it was before the storm


def test_a_mast_that_was_turned_by_the_storm_learns_anew(mast: Mast) -> None:
    mast.shakes(30)
    frames = mast.eye.kept()["visible"].frames
    for _ in range(700):
        mast.look(x=24)
    assert frames > 40
    mast.watches(25, 60)
    assert 0 < mast.eye.kept()["visible"].frames < frames


def test_what_was_rejected_in_the_storm_counts_after_it(mast: Mast) -> None:
    mast.scene[EDGE + 40 : EDGE + 72, EDGE + 200 : EDGE + 272] = (90, 90, 210)  # a red lorry
    burns = [mast.eye.look(frame, learn=False) for frame in _frames(mast, 5)]
    assert burns[-1].scores["fire"] > 0.5
    mast.shakes(60)
    mast.eye.answered(Answer("fire", (0.6, 0.1, 0.3, 0.25), burns[0].ts_ns, fire=False))
    assert mast.watches(60, 1)[-1].scores["fire"] < 0.4


def _frames(mast: Mast, count: int) -> Iterable[Frame]:
    for _ in range(count):
        mast.now_s, mast.index = mast.now_s + 10, mast.index + 1
        picture = mast.scene[EDGE : EDGE + HIGH, EDGE : EDGE + WIDE].copy()
        yield Frame("hill", mast.index, mast.now_s * S, picture)


def test_a_camera_is_back_only_where_it_was() -> None:
    at: Callable[[int], Picture] = lambda x: hill()[EDGE : EDGE + HIGH, EDGE + x : EDGE + x + WIDE]  # noqa: E731
    fog = np.full((HIGH, WIDE, 3), 150, np.uint8)
    for now, is_back in ((at(0), True), (at(2), True), (at(8), False), (at(32), False), (fog, False)):  # fmt: skip
        home = Home()
        home.stands(at(0), "visible", 0)
        assert home.moved()
        told = [home.back(now, "visible", 10 * i * S) for i in range(60)]
        assert next(t for t in told if t is not None) is is_back
        assert told.index(is_back) == (2 if is_back else 59)
        assert home.moved() == is_back  # else there is nothing to come back to


def test_real_cameras_are_known_again_hours_later_and_not_once_they_are_turned(
    shared_data: Path,
) -> None:
    groups = defaultdict(list)
    file = json.loads((shared_data / "fire-smoke" / "train.json").read_text("utf-8"))
    for image in file["images"]:
        if image["source"] == "hpwren":
            groups[image["group"]].append(image["file_name"])
    assert len(groups) >= 10
    for group, names in groups.items():
        pictures = [
            cv2.imread(str(shared_data / "fire-smoke" / "images" / name))
            for name in sorted(names)[:: max(1, len(names) // 6)]
        ]
        wide = [np.asarray(picture, np.uint8) for picture in pictures]
        edge, turn = wide[0].shape[1] // 10, wide[0].shape[1] // 50  # a fortieth of what is left
        first, *later = [thumbnail(p[:, edge:-edge]) for p in wide]
        turned = [thumbnail(p[:, edge + turn : turn - edge]) for p in wide]
        assert all(same_view(first, now) for now in later), group
        assert not any(same_view(first, now) for now in turned), group
