"""Several eyes on one fire."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.judge.bearings import EARTH_KM, Standing, crossing, sun
from edge.vision.judge.calibration import Limits
from edge.vision.judge.settings import Settings
from edge.vision.judge.site import Overlay, Site, SiteSettings, step_site
from edge.vision.judge.watch import Event, EventKind
from edge.vision.observation import Box, Observation
from edge.vision.pose import Bearing, Pose
from tests.edge.vision.judge.observations import observed, smoke

AT_ONCE = Settings(hold_at_start=0, limits=Limits(start=0.5))
SAME = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def at(lat: float, lon: float, azimuth: float) -> Standing:
    return Standing(lat, lon, Pose(azimuth, 0.0, 60.0))


def run(frames: list[Observation], rules: SiteSettings) -> list[Event]:
    site, told = Site(), list[Event]()
    for frame in frames:
        site, events = step_site(site, frame, rules)
        told += [e for e in events if e.kind is EventKind.ALARM]
    assert msgspec.json.decode(msgspec.json.encode(site), type=Site) == site
    return told


def pairs(other: list[Box], count: int = 5, score: float = 0.6) -> list[Observation]:
    """Still smoke at cam-1, which no test of its own confirms before its sixth frame, and boxes of cam-2."""
    frames = []
    for i in range(count):
        thermal = any(b.label == "hot-spot" for b in other)
        spectrum = "thermal" if thermal else "visible"
        frames.append(observed(i, *other, camera="cam-2", spectrum=spectrum))
        frames.append(observed(i, smoke(score)))
    return frames


def test_heat_at_the_same_place_confirms_smoke_and_heat_elsewhere_does_not() -> None:
    rules = SiteSettings(others=AT_ONCE, overlays=(Overlay("cam-1", "cam-2", SAME),))
    there = Box("hot-spot", 0.7, 310, 220, 10, 10)
    told = [e for e in run(pairs([there]), rules) if e.camera == "cam-1"]
    assert [e.index for e in told] == [2]
    assert told[0].verdict is not None
    assert told[0].verdict.passed("thermal")
    assert "camera cam-2 sees heat there (0.70)" in told[0].en
    assert "cam-2 热像在该处见高温" in told[0].zh
    elsewhere = Box("hot-spot", 0.7, 20, 20, 10, 10)
    assert [e for e in run(pairs([elsewhere]), rules) if e.camera == "cam-1"] == []


def test_crossing_bearings_of_two_cameras_confirm_and_parting_ones_do_not() -> None:
    east = at(39.9, 116.1, 315)
    for azimuth, expected in ((45.0, [2]), (225.0, [])):
        poses = {"cam-1": at(39.9, 116.0, azimuth), "cam-2": east}
        rules = SiteSettings(others=AT_ONCE, standing=poses)
        told = [e for e in run(pairs([smoke(0.6)]), rules) if e.camera == "cam-1"]
        assert [e.index for e in told] == expected
    nearby = {"cam-1": AT_ONCE, "cam-2": Settings(labels=("person",))}
    blind = SiteSettings(
        others=AT_ONCE,
        cameras=nearby,
        standing={"cam-1": at(39.9, 116.0, 45), "cam-2": east},
    )
    assert run(pairs([smoke(0.6)]), blind) == []


def test_a_camera_that_looks_down_a_slope_agrees_by_the_bearing_it_tells() -> None:
    """At the edge of its picture the meridians lie closer: 38 degrees off the axis, 28 would be without the tilt."""
    down = Standing(39.9, 116.0, Pose(330.0, -50.0, 60.0, error_deg=0.1))
    north = Standing(39.9, 116.02, Pose(0.0, 0.0, 60.0, error_deg=0.1))
    rules = SiteSettings(others=AT_ONCE, standing={"cam-1": down, "cam-2": north})
    frames = []
    for i in range(5):
        frames.append(observed(i, smoke(0.6, x=317, size=6), camera="cam-2"))
        frames.append(observed(i, smoke(0.6, x=617, size=6)))
    assert [e.index for e in run(frames, rules) if e.camera == "cam-1"] == [2]


LAT, LON, DEGREE_KM = 40.0, 116.0, math.radians(1) * EARTH_KM


def back(azimuth: float, far: float, height_m: float | None = None) -> Standing:
    """The camera that sees the place at this azimuth and distance."""
    north, east = -far * math.cos(math.radians(azimuth)), -far * math.sin(math.radians(azimuth))
    shrink = math.cos(math.radians(LAT + north / DEGREE_KM / 2))
    stands = at(LAT + north / DEGREE_KM, LON + east / DEGREE_KM / shrink, azimuth)
    return msgspec.structs.replace(stands, height_m=height_m)


@given(st.floats(0, 359.9), st.floats(1, 25), st.floats(0, 359.9), st.floats(1, 25))
def test_two_bearings_on_one_place_cross_there(a: float, km: float, b: float, other: float) -> None:
    lat, lon, degree = LAT, LON, DEGREE_KM
    first, second = back(a, km), back(b, other)
    place = crossing(first, Bearing(a, 0, 0.1, 1), second, Bearing(b, 0, 0.1, 1))
    if abs(math.sin(math.radians(a - b))) < 0.2 or max(km, other) > 15 * min(km, other):
        return
    assert place is not None
    shift = math.hypot((place.lat - lat) * degree, (place.lon - lon) * degree * 0.766)
    assert shift < 0.3
    assert place.error_km > 0


@given(
    st.tuples(st.floats(0, 359.9), st.floats(0.2, 29), st.floats(0.05, 10)),
    st.tuples(st.floats(0, 359.9), st.floats(0.2, 29), st.floats(0.05, 10)),
)
def test_bearings_agree_only_on_a_place_that_they_tell(
    one: tuple[float, float, float], two: tuple[float, float, float]
) -> None:
    (a, km, error), (b, other, other_error) = one, two
    place = crossing(
        back(a, km), Bearing(a, 0, error, 1), back(b, other), Bearing(b, 0, other_error, 1)
    )
    sine = abs(math.sin(math.radians(a - b)))
    if place is None:
        spread = math.hypot(km * error, other * other_error) * math.pi / 180 / max(sine, 1e-9)
        assert sine < 0.09 or spread > 0.95 * min(1.0, 0.25 * min(km, other))
    else:
        assert place.error_km <= min(1.0, 0.26 * min(km, other))


def test_bearings_a_degree_wrong_agree_on_the_next_hill_and_not_on_a_far_one() -> None:
    def agree(km: float, other: float, angle: float, error: float = 1.0) -> bool:
        at_angle = Bearing(angle, 0, error, 1)
        return crossing(back(0, km), Bearing(0, 0, error, 1), back(angle, other), at_angle) is not None  # fmt: skip

    assert agree(10, 10, 90)
    assert agree(10, 10, 30)
    assert not agree(25, 25, 30)  # 1.2 km
    assert agree(25, 25, 30, 0.5)
    assert not agree(0.5, 15, 90)  # 0.26 km, more than a quarter of 0.5
    assert not agree(8, 8, 6)


@given(st.floats(2, 8), st.floats(2, 8), st.floats(-20, 20), st.floats(0, 2000), st.floats(0, 2000))
def test_cameras_of_known_height_agree_only_at_one_height(
    km: float, other: float, wrong_deg: float, height: float, other_height: float
) -> None:
    ground_m = 600.0

    def up(far: float, camera_m: float) -> float:
        return math.degrees(math.atan((ground_m - camera_m) / 1000 / far))

    def agree(high: float | None) -> bool:
        here, there = back(0, km, height), back(90, other, high)
        first = Bearing(0, up(km, height), 1, 1)
        second = Bearing(90, up(other, other_height) + wrong_deg, 1, 1)
        return crossing(here, first, there, second) is not None

    assert agree(None)
    if wrong_deg == 0:
        assert agree(other_height)
    if abs(wrong_deg) > 15:
        assert not agree(other_height)
    if abs(wrong_deg) < 1:
        assert agree(other_height)


def test_the_sun_stands_where_the_almanac_says() -> None:
    def when(month: int, day: int, hour: int, minute: int) -> int:
        return int(datetime(2026, month, day, hour, minute, tzinfo=UTC).timestamp()) * 10**9

    azimuth, elevation = sun(39.9, 116.4, when(6, 21, 4, 16))  # noon at Beijing
    assert elevation == pytest.approx(90 - 39.9 + 23.43, abs=0.2)
    assert azimuth == pytest.approx(180, abs=3)
    azimuth, elevation = sun(51.48, 0.0, when(3, 20, 6, 7))  # sunrise at Greenwich
    assert elevation == pytest.approx(0, abs=0.6)
    assert azimuth == pytest.approx(90, abs=1)


def low_sun(ts_ns: int) -> tuple[float, float]:
    """A longitude at 40 degrees north where the sun is low at that moment, and its azimuth."""
    lon = 116.0
    azimuth, elevation = sun(40, lon, ts_ns)
    while not 15 < elevation < 45:
        lon += 15
        azimuth, elevation = sun(40, lon, ts_ns)
    return lon, azimuth


def spots(count: int, *, gap_s: float, grows: float = 0.0, over: float = 0.0) -> list[Observation]:
    """Heat in the middle of the picture; `grows` px a frame."""
    frames = []
    for i in range(count):
        size = 20 + grows * i
        box = Box("hot-spot", 0.9, 320 - size / 2, 200, size, 20)
        cues = {"over_limit_px": over}
        frames.append(observed(i, box, gap_s=gap_s, spectrum="thermal", cues=cues))
    return frames


def test_heat_under_the_low_sun_waits_for_another_eye_or_until_it_is_no_glint() -> None:
    frames = spots(14, gap_s=30)
    lon, azimuth = low_sun(frames[0].ts_ns)
    eager = msgspec.structs.replace(AT_ONCE, second_sign=False)
    towards = SiteSettings(others=eager, standing={"cam-1": at(40, lon, azimuth)})
    away = SiteSettings(others=eager, standing={"cam-1": at(40, lon, (azimuth + 180) % 360)})
    aside = SiteSettings(others=eager, standing={"cam-1": at(40, lon, azimuth + 15)})
    (waited,) = run(frames, towards)
    assert waited.index == 10  # five minutes
    assert "the sun stands over it (" in waited.en
    assert waited.verdict is not None
    assert waited.verdict.passed("no glint")
    for elsewhere in (away, aside):
        (told,) = run(frames, elsewhere)
        assert told.index == 2
        assert "sun" not in told.en
    assert [e.index for e in run(spots(8, gap_s=30, grows=8), towards)] == [6]
    assert [e.index for e in run(spots(8, gap_s=30, over=9), towards)] == [2]
    assert run(spots(8, gap_s=30, over=1), towards) == []  # a broken pixel


def test_another_eye_that_sees_it_too_ends_the_wait_under_the_low_sun() -> None:
    frames = spots(8, gap_s=30)
    lon, azimuth = low_sun(frames[0].ts_ns)
    rules = SiteSettings(
        others=AT_ONCE,
        standing={"cam-1": at(40, lon, azimuth)},
        overlays=(Overlay("cam-1", "cam-2", SAME),),
    )
    both = []
    for i, frame in enumerate(frames):
        both += [observed(i, smoke(0.9, 320), camera="cam-2", gap_s=30), frame]
    assert [e.index for e in run(both, rules) if e.camera == "cam-1"] == [2]


def test_heat_that_waits_under_the_low_sun_teaches_no_threshold() -> None:
    frames = spots(14, gap_s=20)
    lon, azimuth = low_sun(frames[0].ts_ns)
    learned = []
    for facing in (azimuth, azimuth + 180):
        rules = SiteSettings(others=AT_ONCE, standing={"cam-1": at(40, lon, facing % 360)})
        site = Site()
        for frame in frames:
            site, _ = step_site(site, frame, rules)
        calibration = site.watches["cam-1"].calibration
        learned.append(calibration.frames("hot-spot", "thermal"))
    assert learned[0] == 0
    assert learned[1] > 5
