"""In which direction a box lies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision.observation import Box
from edge.vision.pose import Bearing, Mount, Pose, Turned, bearing_of

WIDTH, HEIGHT = 1280, 720


def _of(x: float, y: float, pose: Pose, size: float = 0.0) -> Bearing:
    """Of a box whose lower edge's middle is the point."""
    return bearing_of(Box("smoke", 1.0, x - size / 2, y - size, size, size), WIDTH, HEIGHT, pose)


def test_the_middle_lies_on_the_axis_and_the_edge_half_a_field_of_view_aside() -> None:
    level = Pose(350.0, 0.0, 60.0)
    middle, right = _of(640, 360, level), _of(1280, 360, level)
    assert (middle.azimuth_deg, middle.elevation_deg) == pytest.approx((350.0, 0.0))
    assert (right.azimuth_deg, right.elevation_deg) == pytest.approx((20.0, 0.0))
    below = _of(640, 720, level)
    assert below.elevation_deg == pytest.approx(-math.degrees(math.atan(360 / 640 * math.tan(math.radians(30)))))  # fmt: skip


def test_a_tilted_or_rolled_camera_sees_the_same_world() -> None:
    down = Pose(90.0, -20.0, 60.0)
    assert _of(640, 360, down).elevation_deg == pytest.approx(-20.0)
    assert _of(1280, 360, down).azimuth_deg > 120.0  # meridians draw together below the horizon
    rolled = Pose(90.0, 0.0, 60.0, roll_deg=90.0)
    assert _of(1280, 360, rolled).elevation_deg == pytest.approx(30.0)
    assert _of(1280, 360, rolled).azimuth_deg == pytest.approx(90.0)


@given(
    st.floats(0, 359.9), st.floats(-80, 80), st.floats(-30, 30), st.floats(5, 120), st.floats(0, WIDTH), st.floats(0, HEIGHT),
)  # fmt: skip
def test_a_point_projected_from_its_direction_is_where_it_was(azimuth: float, elevation: float, roll: float, hfov: float, x: float, y: float) -> None:  # fmt: skip
    """The other way round, by rotation matrices of its own."""
    pose = Pose(azimuth, elevation, hfov, roll_deg=roll)
    found = _of(x, y, pose)
    b, e = math.radians(found.azimuth_deg), math.radians(found.elevation_deg)
    east, north, up = math.sin(b) * math.cos(e), math.cos(b) * math.cos(e), math.sin(e)
    a, t, r = (math.radians(v) for v in (azimuth, elevation, roll))
    forward = (math.sin(a) * math.cos(t), math.cos(a) * math.cos(t), math.sin(t))
    right = (math.cos(a), -math.sin(a), 0.0)
    over = (-math.sin(a) * math.sin(t), -math.cos(a) * math.sin(t), math.cos(t))
    z, h, v = (sum(p * q for p, q in zip(axis, (east, north, up), strict=True)) for axis in (forward, right, over))  # fmt: skip
    focal = WIDTH / 2 / math.tan(math.radians(hfov) / 2)
    h, v = h / z * focal, v / z * focal
    got_x = h * math.cos(r) + v * math.sin(r) + WIDTH / 2
    got_y = HEIGHT / 2 - (v * math.cos(r) - h * math.sin(r))
    assert (got_x, got_y) == pytest.approx((x, y), abs=1e-3)


def test_the_error_grows_with_the_box_and_towards_the_zenith() -> None:
    pose = Pose(0.0, 0.0, 60.0, error_deg=1.0)
    assert _of(640, 360, pose).azimuth_error_deg == pytest.approx(1.0)
    wide = _of(640, 360, pose, size=320)
    assert 1.0 < wide.azimuth_error_deg < 6.0
    assert wide.elevation_error_deg > 1.0
    north = bearing_of(
        Box("smoke", 1.0, 600, 300, 80, 60), WIDTH, HEIGHT, pose
    )  # over north: 359 to 1
    assert north.azimuth_error_deg < 2.0
    assert _of(640, 360, Pose(0.0, 80.0, 60.0)).azimuth_error_deg > 5.0


def test_a_camera_that_turns_tells_its_pose_and_how_sure_it_is_while_it_moves() -> None:
    mount = Mount(Pose(200.0, 1.0, 60.0, error_deg=0.5))
    still = mount.pose(Turned(170.0, -5.0))
    assert (still.azimuth_deg, still.elevation_deg, still.error_deg) == (10.0, -4.0, 0.5)
    assert still.hfov_deg == pytest.approx(60.0)
    tele = mount.pose(Turned(0, 0, 10.0)).hfov_deg
    assert math.tan(math.radians(tele / 2)) == pytest.approx(math.tan(math.radians(30)) / 10)
    assert mount.pose(Turned(0, 0), age_s=9.0).error_deg == 0.5
    assert mount.pose(Turned(0, 0), age_s=0.1, moving=True).error_deg == pytest.approx(6.02, abs=0.01)  # fmt: skip
    lost = bearing_of(Box("smoke", 1, 0, 0, 9, 9), 640, 480, mount.pose(Turned(0, 0), age_s=9.0, moving=True))  # fmt: skip
    assert (lost.azimuth_error_deg, lost.elevation_error_deg) == (180.0, 90.0)


@pytest.mark.parametrize(
    ("tilt", "azimuth", "elevation"),
    [(-90, 30, -90), (-100, 210, -80), (-180, 210, 0), (-270, 30, 90), (100, 210, 80), (15, 30, 15)],
)  # fmt: skip
def test_a_camera_that_tilts_over_looks_behind_itself_with_its_picture_upright(tilt: float, azimuth: float, elevation: float) -> None:  # fmt: skip
    pose = Mount(Pose(30.0, 0.0, 60.0)).pose(Turned(0.0, tilt))
    assert (pose.azimuth_deg, pose.elevation_deg) == (azimuth, elevation)
