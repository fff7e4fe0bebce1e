"""Hot spots on the noise of a real thermal camera."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.frame import Frame
from edge.vision.judge.bearings import Standing, sun
from edge.vision.judge.settings import Settings
from edge.vision.judge.site import Site, SiteSettings, step_site
from edge.vision.judge.watch import Event, EventKind, Watch, step
from edge.vision.observation import Observation, Quality
from edge.vision.packed_heat import PackedHeat, PackedHour
from edge.vision.pipeline.develop import Developer, Radiometry
from edge.vision.pose import Pose
from edge.vision.sources.picture_file import decode
from edge.vision.sources.source import Raw, Reject
from edge.vision.thermal import HeatLimits, HotSpots
from edge.vision.usual_heat import UsualHeat

SECOND_NS = 1_000_000_000
NOON_NS = (
    1_790_000_000 * SECOND_NS // (86_400 * SECOND_NS) * 86_400 * SECOND_NS + 43_200 * SECOND_NS
)
KELVIN = 0.04  # in one count of this camera


@pytest.fixture(scope="module")
def ground(shared_data: Path) -> NDArray[np.float32]:
    """(512, 640) degrees C, -3 to 10: a real picture with its sensor's pattern."""
    file = shared_data / "fire-smoke" / "extras" / "thermal_tlinear_640x512.tiff"
    raw = decode(file.read_bytes())
    assert not isinstance(raw, Reject)
    celsius, valid = Radiometry(KELVIN).celsius(raw)
    assert valid.all()
    return celsius


class Camera:
    """Counts as the camera would give them; the noise between its frames is that of its own pixels, shuffled."""

    def __init__(self, ground: NDArray[np.float32]) -> None:
        smooth = np.round(ground, 1)
        self._ground, self._noise = ground, (ground - smooth).ravel()
        self._rng = np.random.default_rng(11)
        self._developer = Developer("heat", radiometry=Radiometry(KELVIN))
        self._index = 0
        self.spots, self.watch = HotSpots(), Watch()

    def counts(self, warmth: dict[tuple[int, int, int], float], offset: float) -> Raw:
        celsius = self._ground + offset + self._rng.permutation(self._noise).reshape(512, 640)
        for (x, y, size), degrees in warmth.items():
            celsius[y : y + size, x : x + size] = degrees
        counts = np.round((celsius + 273.15) / KELVIN)
        return np.asarray(np.clip(counts, 0, 65535), np.uint16)

    def frame(self, counts: Raw, at_s: float) -> Frame:
        at_ns = int(at_s * SECOND_NS)
        frame = self._developer.develop(counts, self._index, NOON_NS + at_ns, at_ns)
        assert isinstance(frame, Frame)
        self._index += 1
        return frame

    def sees(
        self, warmth: dict[tuple[int, int, int], float], at_s: float, offset: float = 20
    ) -> list[Event]:
        seen = self.spots.look(self.frame(self.counts(warmth, offset), at_s))
        self.watch, events = step(self.watch, seen, Settings())
        return [e for e in events if e.kind is EventKind.ALARM]


def test_a_growing_fire_of_a_few_pixels_alarms_within_three_frames_and_noise_never(
    ground: NDArray[np.float32],
) -> None:
    camera = Camera(ground)
    for i in range(30):
        assert camera.sees({}, i) == []
    told = [camera.sees({(400, 300, 2 + i): 90.0 + 10 * i}, 30 + i) for i in range(4)]
    assert [len(t) for t in told] == [0, 0, 1, 0]
    (alarm,) = told[2]
    assert alarm.label == "hot-spot"
    assert alarm.box is not None
    assert (alarm.box.x, alarm.box.y) == (400, 300)
    assert alarm.zh.startswith("高温点：最近")


def test_what_is_hot_every_day_at_this_hour_becomes_usual_and_what_is_hotter_is_not(
    ground: NDArray[np.float32],
) -> None:
    camera = Camera(ground)
    roof = {(100, 100, 8): 95.0}
    for i in range(24):  # ten minutes of it, each frame once twelve followed
        camera.spots.look(camera.frame(camera.counts(roof, 20), 60 * i))
    usual = camera.spots.look(camera.frame(camera.counts(roof, 20), 1440))
    assert usual.boxes == ()
    burning = camera.spots.look(camera.frame(camera.counts({(100, 100, 8): 300.0}, 20), 1500))
    assert [b.score > 0.5 for b in burning.boxes] == [True]


def test_while_an_alarm_is_open_nothing_becomes_usual(ground: NDArray[np.float32]) -> None:
    camera = Camera(ground)
    for i in range(24):
        camera.spots.look(camera.frame(camera.counts({}, 20), 60 * i))
    for i in range(24, 59):
        fire = camera.frame(camera.counts({(50, 60, 4): 120.0}, 20), 60 * i)
        assert camera.spots.look(fire, learn=False).boxes


def small(spots: HotSpots, minute: int, degrees: float, *, learn: bool = True) -> Observation:
    """A look at 32 x 32 px of 20 C with 8 x 8 of so many degrees."""
    celsius = np.full((32, 32), 20, np.float32)
    celsius[12:20, 12:20] = degrees
    at_ns = NOON_NS + minute * 60 * SECOND_NS
    every = np.ones(celsius.shape, bool)
    return spots.look(Frame("heat", minute, at_ns, None, celsius, every, "thermal"), learn=learn)


def test_what_heats_up_by_some_degrees_a_day_is_told_from_the_absolute_limit_on() -> None:
    spots = HotSpots()
    for minute in range(0, 12 * 1440, 5):
        degrees = 20 + 20 * minute / 1440
        seen = small(spots, minute, degrees)
        if degrees > 150:
            assert [b.score > 0.6 for b in seen.boxes] == [True]


def test_what_was_seen_shortly_before_an_alarm_is_not_learned() -> None:
    spots = HotSpots()
    for minute in range(11):
        small(spots, minute, 120)
    small(spots, 11, 120, learn=False)
    for minute in range(12, 23):
        small(spots, minute, 20)
    for minute in range(23, 36):  # those before the alarm would be usual by now
        assert small(spots, minute, 120).boxes


def again(spots: HotSpots) -> HotSpots:
    """After a restart."""
    packed = spots.kept()
    assert packed is not None
    new = HotSpots()
    new.goes_on(msgspec.msgpack.decode(msgspec.msgpack.encode(packed), type=PackedHeat))
    return new


def test_what_is_usual_is_so_at_once_after_a_restart_and_the_absolute_limit_holds() -> None:
    spots = HotSpots()
    for minute in range(24):
        small(spots, minute, 120)
    assert small(spots, 24, 120).boxes == ()
    assert small(HotSpots(), 25, 120).boxes
    new = again(spots)
    assert small(new, 25, 120).boxes == ()
    assert small(new, 26, 151).boxes
    for minute in range(27, 45):  # learning goes on
        assert small(new, minute, 120).boxes == ()
    kept, before = new.kept(), spots.kept()
    assert kept is not None
    assert before is not None
    assert kept.last_ns > before.last_ns


def test_a_map_that_was_kept_is_as_fine_as_the_one_in_memory() -> None:
    heat, other, rng = UsualHeat(), UsualHeat(), np.random.default_rng(2)
    for minute in range(50):
        celsius = rng.normal(140, 0.5, (32, 48)).astype(np.float32)
        heat.saw(celsius, NOON_NS + minute * 60 * SECOND_NS)
    packed = heat.packed()
    assert packed is not None
    other.unpack(packed)
    limits = [one.limit((32, 48), NOON_NS + 3000 * SECOND_NS) for one in (heat, other)]
    assert limits[0] is not None
    assert limits[1] is not None
    assert float(np.abs(limits[0] - limits[1]).max()) < 0.2


@pytest.mark.parametrize(("days", "usual"), [(2, True), (4, False)])
def test_a_map_of_more_than_three_days_ago_is_left_aside(days: int, usual: bool) -> None:
    spots = HotSpots()
    for minute in range(24):
        small(spots, minute, 120)
    assert (small(again(spots), 25 + days * 1440, 120).boxes == ()) is usual


def test_a_map_of_a_picture_of_another_size_is_left_aside() -> None:
    spots = HotSpots()
    for minute in range(24):
        small(spots, minute, 120)
    for shape in ((40, 32), (30, 33), (16, 16)):
        new = again(spots)
        celsius = np.full(shape, 20, np.float32)
        celsius[4:12, 4:12] = 120
        at_ns, every = NOON_NS + 1500 * SECOND_NS, np.ones(shape, bool)
        assert new.look(Frame("heat", 0, at_ns, None, celsius, every, "thermal")).boxes
        assert not new.knows


@pytest.mark.parametrize(
    ("shape", "hour", "size", "watched_s"),
    [((2, 2), 0, 7, 1.0), ((0, 2), 0, 0, 1.0), ((2, 2), 24, 8, 1.0), ((2, 2), 0, 8, -1.0), ((2, 2), 0, 8, float("nan"))],
)  # fmt: skip
def test_a_map_that_does_not_fit_its_own_shape_is_none(
    shape: tuple[int, int], hour: int, size: int, watched_s: float
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        PackedHeat(shape, 0, {hour: PackedHour(watched_s, bytes(size), bytes(size))})


def test_frames_that_wait_to_be_learned_stay_few() -> None:
    heat, celsius = UsualHeat(), np.full((32, 32), 20, np.float32)
    for second in range(3600):
        heat.saw(celsius, NOON_NS + second * SECOND_NS)
        assert heat.waiting <= 62
    assert heat.waiting > 50
    heat.saw(celsius, NOON_NS)  # the clock was set back
    assert heat.waiting == 1


def test_a_shutter_frame_is_not_judged_and_saturated_pixels_are_hot(
    ground: NDArray[np.float32],
) -> None:
    camera = Camera(ground)
    shutter = camera.frame(np.full((512, 640), 7300, np.uint16), 0)
    assert shutter.quality is Quality.SHUTTER
    assert camera.spots.look(shutter).boxes == ()
    counts = camera.counts({}, 20)
    counts[200:204, 300:303] = 65535
    (box,) = camera.spots.look(camera.frame(counts, 1)).boxes
    assert (box.x, box.y, box.width, box.height) == (300, 200, 3, 4)


def test_a_fire_beyond_the_range_alarms_and_stays_one_until_it_fills_the_view(
    ground: NDArray[np.float32],
) -> None:
    camera = Camera(ground)
    for i in range(10):
        assert camera.sees({}, i) == []
    told: list[Event] = []
    for i in range(10):
        counts = camera.counts({}, 20)
        counts[: 50 * i, : 31 * i] = 65535  # over 20 % from the seventh on
        seen = camera.spots.look(camera.frame(counts, 10 + i))
        camera.watch, events = step(camera.watch, seen, Settings())
        told += events
        assert len(seen.boxes) == (i > 0)
    assert [(e.kind, e.index) for e in told] == [(EventKind.ALARM, 13)]
    for i in range(9):  # every pixel; the same picture for 10 s is a frozen one
        frame = camera.frame(np.full((512, 640), 65535, np.uint16), 20 + i)
        assert frame.quality is Quality.GOOD
        (box,) = camera.spots.look(frame).boxes
        assert (box.x, box.y, box.width, box.height) == (0, 0, 640, 512)
        camera.watch, events = step(camera.watch, camera.spots.look(frame), Settings())
        assert EventKind.ENDED not in {e.kind for e in events}
    assert [t.open for t in camera.watch.tracks] == [True]


def test_pixels_beyond_a_range_that_ends_near_the_limit_score_above_it() -> None:
    spots = HotSpots(HeatLimits(high_c=600.0))
    celsius = np.full((64, 64), 382.2, np.float32)
    frame = Frame("heat", 0, NOON_NS, None, celsius, celsius < 300, "thermal")
    assert [b.score > 0.6 for b in spots.look(frame).boxes] == [True]


def test_a_picture_of_which_nothing_is_known_is_not_judged() -> None:
    celsius = np.full((64, 64), -273.15, np.float32)
    frame = Frame("heat", 0, NOON_NS, None, celsius, celsius > 0, "thermal")
    assert HotSpots().look(frame).quality is Quality.SHUTTER
    developed = Developer("heat", radiometry=Radiometry()).develop(
        np.zeros((64, 64), np.uint16), 0, NOON_NS, 0
    )
    assert isinstance(developed, Frame)
    assert developed.quality is Quality.SHUTTER


def test_too_cold_pixels_beside_a_fire_are_not_part_of_it(ground: NDArray[np.float32]) -> None:
    camera = Camera(ground)
    counts = camera.counts({}, 20)
    counts[200:] = np.round((300 + 273.15) / KELVIN)
    counts[:100] = 0
    (box,) = camera.spots.look(camera.frame(counts, 0)).boxes
    assert (box.y, box.height) == (200, 312)


def test_a_vehicle_that_drives_through_never_alarms(ground: NDArray[np.float32]) -> None:
    camera = Camera(ground)
    for i in range(25):
        assert camera.sees({(20 + 22 * i, 400, 12): 85.0}, i) == []


@pytest.mark.parametrize(("degrees", "after_s"), [(110.0, 300), (400.0, 20)])
def test_a_lone_camera_that_looks_at_a_fire_under_the_low_sun_tells_it(
    degrees: float, after_s: int
) -> None:
    """Above the absolute limit as soon as anywhere else; below it in five minutes, of which nothing is learned."""
    lon = next(lon for lon in range(-180, 180, 5) if 15 < sun(40, lon, NOON_NS)[1] < 40)
    standing = Standing(40, lon, Pose(sun(40, lon, NOON_NS)[0], 0.0, 60.0))
    rules = SiteSettings({"heat": Settings(second_sign=False)}, {"heat": standing})
    site, spots, told, begins = Site(), HotSpots(), list[Event](), 130
    rng = np.random.default_rng(3)
    for i in range(begins + 40):
        celsius = rng.normal(20, 0.3, (60, 80)).astype(np.float32)
        if i >= begins:
            celsius[30:36, 37:43] = degrees
        every = np.ones(celsius.shape, bool)
        frame = Frame("heat", i, NOON_NS + 10 * i * SECOND_NS, None, celsius, every, "thermal")
        seen = spots.look(frame, learn=not told)
        assert len(seen.boxes) == (i >= begins)
        site, events = step_site(site, seen, rules)
        told += events
    assert [(e.kind, 10 * (e.index - begins)) for e in told] == [(EventKind.ALARM, after_s)]
