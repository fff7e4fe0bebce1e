"""What is usual at a camera: learned from quiet frames, forgotten for nothing that burns, kept over a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.drivers.camera.learned import Learned
from edge.vision.frame import Frame, Picture
from edge.vision.nn.load import load_detector
from edge.vision.nn.odds import Odds, above, log_odds
from edge.vision.nn.sight import Sight
from edge.vision.nn.slot import Slot
from edge.vision.nn.usual import LEAST_FRAMES, Usual
from edge.vision.pipeline.watching import Spectrum
from edge.vision.watch.eye import Eye
from tests.edge.vision.graphs import HEAT_SETTINGS, heat_graph, write_model

SECOND_NS = 1_000_000_000


def heat(hot: dict[tuple[int, int], float], seed: int = 0) -> Odds:
    """Log-odds of one class, 12 x 16 cells, with a little noise."""
    odds = np.random.default_rng(seed).normal(-5, 0.3, (1, 12, 16)).astype(np.float32)
    for (row, column), p in hot.items():
        odds[0, row, column] = np.log(p / (1 - p))
    return odds


def left(hot: dict[tuple[int, int], float], seed: int, limit: Odds) -> NDArray[np.float32]:
    """Heat of the class that counts."""
    odds = heat(hot, seed)
    return np.asarray(above(np.asarray(1 / (1 + np.exp(-odds)), np.float32), odds, limit)[0])


def after_a_quiet_hour(hot: dict[tuple[int, int], float]) -> Usual:
    usual = Usual()
    for i in range(120):
        usual.saw(heat(hot, i), i * 30 * SECOND_NS)
    return usual


def test_a_mast_that_is_always_hot_is_cold_and_smoke_beside_it_and_a_fire_under_it_are_not() -> (
    None
):
    limit = after_a_quiet_hour({(3, 4): 0.8}).limit()
    assert limit is not None
    now = left({(3, 4): 0.8, (9, 12): 0.8}, 999, limit)
    assert now[3, 4] < 0.3
    assert now[9, 12] > 0.7
    assert left({(3, 4): 0.998}, 998, limit)[3, 4] > 0.9


def test_nothing_is_usual_before_enough_frames_were_followed_by_others() -> None:
    usual = Usual()
    for i in range(LEAST_FRAMES + 4):
        assert not usual.known
        usual.saw(heat({}, i), i * 10 * SECOND_NS)
    usual.saw(heat({}), 3600 * SECOND_NS)
    assert usual.known
    quick = Usual(apart_s=0.5)
    for i in range(
        25 * 60
    ):  # 25 frames a second: two of them count until it is known, one in ten seconds then
        quick.saw(heat({}, i), i * SECOND_NS // 25)
        if i == 25 * 8:
            assert quick.known
    assert quick.packed("1") is None  # learned for good are those that are ten minutes old
    for i in range(25 * 60, 25 * 700, 25):
        quick.saw(heat({}, i), i * SECOND_NS // 25)
    packed = quick.packed("1")
    assert packed is not None
    assert LEAST_FRAMES <= packed.frames < 25


def test_smoke_that_raises_an_alarm_is_never_usual() -> None:
    usual = after_a_quiet_hour({})
    for i in range(120, 130):  # it grows for five minutes, then it is followed
        usual.saw(heat({(5, 5): 0.1 + 0.05 * (i - 120)}, i), i * 30 * SECOND_NS)
    usual.burns(heat({(5, 5): 0.6}), 131 * 30 * SECOND_NS)
    for i in range(160, 300):
        usual.saw(heat({}, i), i * 30 * SECOND_NS)
    limit = usual.limit()
    assert limit is not None
    assert limit[0, 5, 5] < -3


def test_one_busy_hour_in_a_week_blinds_no_place() -> None:
    usual = Usual()
    for i in range(7 * 24 * 12):
        hot = {(2, 2): 0.9} if 900 <= i < 912 else {}
        usual.saw(heat(hot, i % 50), i * 300 * SECOND_NS)
    limit = usual.limit()
    assert limit is not None
    assert left({(2, 2): 0.9}, 0, limit)[2, 2] > 0.5


def test_what_is_usual_survives_a_restart_with_the_same_model_only(tmp_path: Path) -> None:
    usual = after_a_quiet_hour({(3, 4): 0.8})
    packed = usual.packed("1.0.0")
    assert packed is not None
    read = msgspec.json.decode(
        msgspec.json.encode(Learned(heat={"visible": packed})), type=Learned
    ).heat
    assert read == {"visible": packed}
    again = Usual()
    again.unpack(packed)
    one, other = usual.limit(), again.limit()
    assert one is not None
    assert other is not None
    assert np.abs(one - other).max() < 0.3
    detector = load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS))
    eye = Eye(detector)
    eye.goes_on({"visible": packed})
    assert eye.kept() == {}
    mine = msgspec.structs.replace(packed, model=f"{detector.name} {detector.version}")
    eye.goes_on({"visible": mine, "infrared": mine, "thermal": mine})
    assert list(eye.kept()) == ["visible", "infrared"]


def test_a_version_that_fails_on_its_first_frame_costs_no_camera_what_is_usual_there(
    tmp_path: Path,
) -> None:
    slot = Slot(load_detector(write_model(tmp_path / "1", heat_graph(), HEAT_SETTINGS)))
    sights = [Sight(slot), Sight(slot), Sight(slot)]
    quiet = np.full((512, 640, 3), 40, np.uint8)
    bright = np.full((512, 640, 3), 255, np.uint8)
    for i in range(120):
        for sight in sights:
            sight.see(quiet, i * 30 * SECOND_NS)
    slot.offer(write_model(tmp_path / "2", heat_graph(fails=True), HEAT_SETTINGS))
    failing = slot.current
    sights[2].see(quiet, 3600 * SECOND_NS)
    assert sights[2].detector is failing
    for sight in sights:
        sight.see(bright, 3601 * SECOND_NS)
    assert slot.current is not failing
    assert [sight.usual.known for sight in sights] == [True, True, False]
    slot.offer(write_model(tmp_path / "3", heat_graph(fails=True), HEAT_SETTINGS))
    sights[0].see(bright[:256], 3602 * SECOND_NS)
    assert not sights[0].usual.known


def test_a_red_roof_teaches_no_threshold_until_it_is_known_and_then_is_not_told(
    tmp_path: Path,
) -> None:
    eye = Eye(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)))

    def look(picture: Picture, second: int, *, learn: bool = True) -> tuple[float, bool]:
        frame = Frame("hill", second, second * SECOND_NS, picture)
        seen = eye.look(frame, learn=learn)
        return seen.scores["fire"], seen.settled

    picture = np.full((256, 320, 3), 90, np.uint8)
    picture[100:140, 50:120] = (20, 20, 230)
    first = look(picture, 0)
    assert first[0] > 0.5
    assert not first[1]
    for i in range(1, 40):
        last = look(picture, 60 * i)
    assert last[0] < 0.3
    assert last[1]
    burning = picture.copy()
    burning[200:240, 200:280] = (20, 20, 230)
    assert look(burning, 3000)[0] > 0.5


def test_a_place_that_is_hot_half_of_the_day_does_not_hide_a_fire_there() -> None:
    usual = Usual()
    for i in range(400):
        usual.saw(heat({(4, 4): 0.9} if i % 2 else {}, i), i * 30 * SECOND_NS)
    limit = usual.limit()
    assert limit is not None
    assert left({(4, 4): 0.9999}, 1, limit)[4, 4] > 0.9
    assert left({(4, 4): 0.9}, 1, limit)[4, 4] < 0.3


def test_a_clock_that_was_set_back_stops_no_learning_and_fills_no_memory() -> None:
    usual = Usual()
    for i in range(100):
        usual.saw(heat({}, i), (10_000_000 + 30 * i) * SECOND_NS)
    first = usual.packed("m")
    for i in range(5000):
        usual.saw(heat({}, i % 50), 30 * i * SECOND_NS)
    later = usual.packed("m")
    assert first is not None
    assert later is not None
    assert later.frames > first.frames + 4000
    assert len(usual._waiting) < 100


def test_a_camera_that_turned_knows_nothing_as_usual(tmp_path: Path) -> None:
    sight = Sight(load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS)))
    picture = np.full((256, 320, 3), 90, np.uint8)
    for i in range(30):
        sight.see(picture, i * 60 * SECOND_NS)
    assert sight.usual.known
    sight.reset()
    assert not sight.usual.known
    assert np.abs(log_odds(np.array([0.5], np.float32))).max() < 1e-6


def test_every_frame_of_a_live_camera_counts_though_some_come_a_little_early(
    tmp_path: Path,
) -> None:
    model = load_detector(write_model(tmp_path, heat_graph(), HEAT_SETTINGS))
    sight, picture = Sight(model, apart_s=0.5), np.full((256, 320, 3), 90, np.uint8)
    for i in range(5 + LEAST_FRAMES):
        assert not sight.usual.known
        sight.see(picture, i * SECOND_NS // 2 + i % 3 * SECOND_NS // 50)
    assert sight.usual.known


def lit(night: bool, seed: int) -> Picture:
    """A hillside by day, and brighter in the infrared light of its camera, where a red roof is grey."""
    rng = np.random.default_rng(seed)
    picture = rng.normal((70, 100, 90), 2, (256, 320, 3))
    if night:
        picture[:] = np.linspace(120, 220, 256)[:, None, None] + rng.normal(0, 2, (256, 320, 1))
    else:
        picture[100:140, 50:120] = (90, 90, 200)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def test_day_and_night_mode_have_a_usual_and_a_reference_of_their_own(tmp_path: Path) -> None:
    eye = Eye(load_detector(write_model(tmp_path, heat_graph(gain=2.0), HEAT_SETTINGS)))
    index = 0

    def look(night: bool, frames: int) -> list[tuple[float, float, bool]]:
        nonlocal index
        told = []
        for _ in range(frames):
            index += 1
            spectrum: Spectrum = "infrared" if night else "visible"
            frame = Frame("hill", index, index * 60 * SECOND_NS, lit(night, index), spectrum=spectrum)  # fmt: skip
            seen = eye.look(frame)
            told.append((seen.scores["smoke"], seen.scores["fire"], seen.settled))
        return told

    assert look(False, 40)[-1][2]
    dusk = look(True, 200)
    assert not dusk[0][2]  # nothing is known of the night yet
    assert max(smoke for smoke, _, _ in dusk) < 0.3  # no day is what it was before
    dawn = look(False, 40)
    assert all(settled for _, _, settled in dawn)
    assert max(smoke for smoke, _, _ in dawn) < 0.3
    assert max(fire for _, fire, _ in dawn) < 0.3  # hours of night unlearned no roof
    assert set(eye.kept()) == {"visible", "infrared"}


def test_what_burnt_in_the_first_frames_is_forgotten_once_others_were_learned() -> None:
    usual = Usual()
    for i in range(15):
        usual.saw(heat({(2, 2): 0.9}, i), i * 30 * SECOND_NS)
    limit = usual.limit()
    assert limit is not None
    assert limit[0, 2, 2] > 2  # there is nothing else to go by
    for i in range(15, 25):
        usual.burns(heat({(2, 2): 0.99}, i), i * 30 * SECOND_NS)
    for i in range(25, 65):
        usual.saw(heat({}, i), i * 30 * SECOND_NS)
    limit = usual.limit()
    assert limit is not None
    assert limit[0, 2, 2] < -3


def days_of(heat_at: Callable[[float], float], days: float, apart_s: int = 300) -> Usual:
    """A camera whose place (5, 5) is so hot at each hour since it began, in log-odds."""
    usual = Usual()
    for i in range(round(days * 86_400 / apart_s)):
        now = heat({}, i % 50)
        now[0, 5, 5] = heat_at(i * apart_s / 3600)
        usual.saw(now, i * apart_s * SECOND_NS)
    return usual


def usual_at(usual: Usual) -> float:
    limit = usual.limit()
    assert limit is not None
    return float(limit[0, 5, 5])


@pytest.mark.parametrize("begins_h", [30, 40, 60, 100])
@pytest.mark.parametrize("an_hour", [0.2, 0.5])
def test_heat_that_rises_for_hours_does_not_become_usual(begins_h: int, an_hour: float) -> None:
    lasts_h = 7 / an_hour
    before = usual_at(days_of(lambda _: -5, begins_h / 24))
    after = days_of(
        lambda hour: -5 + max(0.0, hour - begins_h) * an_hour, (begins_h + lasts_h) / 24
    )
    assert usual_at(after) <= before + 0.5 * (2 + lasts_h / 24)
    assert usual_at(after) < -1  # from there on it takes something away


def test_heat_that_stays_for_days_becomes_usual() -> None:
    assert usual_at(days_of(lambda hour: 1.0 if hour > 36 else -5.0, 4)) < -1
    assert usual_at(days_of(lambda hour: 1.0 if hour > 36 else -5.0, 16)) > 0.9


def test_the_heat_of_the_first_day_is_usual_at_once() -> None:
    assert usual_at(days_of(lambda hour: 1.0 if hour > 6 else -5.0, 0.9)) > 0.9


def test_a_restart_makes_no_heat_usual_sooner() -> None:
    def rises(hour: float) -> float:
        return -5 + max(0.0, hour - 48) * 0.3

    usual, again = Usual(), Usual()
    for i in range(65 * 12):
        now = heat({}, i % 50)
        now[0, 5, 5] = rises(i / 12)
        usual.saw(now, i * 300 * SECOND_NS)
        if i % 100 == 99:
            packed = usual.packed("m")
            assert packed is not None
            again = Usual()
            assert again.unpack(packed)
            usual = again
    assert usual_at(usual) < -2
