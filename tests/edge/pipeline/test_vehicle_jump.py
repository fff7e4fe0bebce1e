"""Positions that no vehicle can have reached."""

from __future__ import annotations

from edge.pipeline import Pipeline
from edge.pipeline.vehicle import Fix, distance_m
from tocsin.contract.catalogue import Value
from tocsin.contract.columns import Row
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample

NOW = 1_800_000_000_000_000_000
S = 1_000_000_000
NAMES = ("lat", "lon", "speed", "fix")
DEVICE = DeviceSpec(
    "truck-01",
    "vehicle",
    (
        Channel("lat", "deg"),
        Channel("lon", "deg"),
        Channel("speed", "m/s"),
        Channel("fix", "1", "i"),
    ),
)
M = 1 / 111_195.08  # degrees of latitude per metre on the mean sphere


def drive(*steps: tuple[float, float, float | None]) -> list[bool]:
    """Whether each (seconds, metres north, reported speed) is flagged as a jump, on lat, lon and speed alike."""
    pipeline = Pipeline([DEVICE])
    found = []
    for seconds, metres, speed in steps:
        at = NOW + int(seconds * S)
        values: tuple[Value, ...] = (39.9 + metres * M, 116.4, speed, 3)
        (row,) = pipeline.process(Sample(DEVICE, at, values, at), 0).rows
        marked = {n for n, q in zip(NAMES, row.quality or (0,) * 4, strict=True) if q}
        assert marked in (set(), {"lat", "lon", "speed"}, {"lat", "lon"}), marked
        found.append("lat" in marked)
    return found


def only(values: tuple[Value, ...]) -> Row:
    """The row of one fix."""
    (row,) = Pipeline([DEVICE]).process(Sample(DEVICE, NOW, values, NOW), 0).rows
    return row


def test_distance_is_that_of_the_mean_sphere() -> None:
    here, there = Fix(0, True, 0.0, 0.0, None), Fix(0, True, 0.0, 180.0, None)
    assert round(distance_m(here, there)) == 20_015_114


def test_a_drive_at_road_speed_is_clean() -> None:
    assert not any(drive(*((i, 30.0 * i, 30.0) for i in range(20))))


def test_a_teleport_is_flagged_once_and_the_way_back_is_not() -> None:
    steps = [(0, 0, None), (1, 10, None), (2, 500, None), (3, 30, None), (4, 40, None)]
    assert drive(*steps) == [False, False, True, False, False]


def test_93_metres_in_a_second_while_standing_is_flagged() -> None:
    assert drive((0, 0, 0.6), (1, 2, 0.4), (2, 95, 0.6), (3, 3, 0.5)) == [False, False, True, False]


def test_a_travelled_speed_that_the_receiver_contradicts_is_flagged() -> None:
    assert drive((0, 0, 0.2), (1, 33.5, 0.1), (2, 1, 0.1)) == [False, True, False]


def test_a_reported_speed_out_of_the_blue_is_flagged() -> None:
    assert drive((0, 0, 0.1), (1, 0.5, 93.0), (2, 1, 0.1)) == [False, True, False]
    assert drive((0, 0, 0.1), (1, 0.5, 40.0), (2, 1, 0.1)) == [False, True, False]


def test_fixes_that_agree_with_one_another_replace_a_wrong_first_one() -> None:
    far = 1_000_000.0
    steps = [(0, 0, None)] + [(i, far + 5 * i, None) for i in range(1, 7)]
    assert drive(*steps) == [False, True, True, True, False, False, False]


def test_after_a_tunnel_only_the_mean_speed_counts() -> None:
    assert drive((0, 0, 30.0), (60, 1700, 1.0)) == [False, False]
    assert drive((0, 0, 30.0), (60, 5000, 30.0)) == [False, True]


def test_equal_times_are_no_speed() -> None:
    assert drive((0, 0, None), (0, 50, None)) == [False, False]


def test_without_a_fix_values_are_marked_and_nowhere_becomes_absent() -> None:
    row = only((0.0, 0.0, 0.0, 0))
    assert row.values == (None, None, 0.0, 0)
    assert row.quality == (Quality.NO_FIX, Quality.NO_FIX, Quality.NO_FIX, 0)
    row = only((39.9, 116.4, 1.0, 0))
    assert row.values == (39.9, 116.4, 1.0, 0)
    assert row.quality == (Quality.NO_FIX, Quality.NO_FIX, Quality.NO_FIX, 0)


def test_a_fix_without_position_is_left_as_it_is() -> None:
    assert only((None, None, 1.0, 3)).quality is None
