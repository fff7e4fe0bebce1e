"""Where a camera that turns looked when a frame was taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.vision.pose import Mount, Pose, Turned
from edge.vision.ptz.course import Told, pose_at, told

S = 1_000_000_000
MOUNT = Mount(Pose(0.0, 0.0, 60.0, error_deg=1.0), speed_deg_per_s=60.0)


def course(*pans: float, moving: bool | None = None) -> list[Told]:
    """Told once a second from second 1 on."""
    found: list[Told] = []
    for i, pan in enumerate(pans):
        found.append(told(found[-1] if found else None, (i + 1) * S, Turned(pan, 0.0), moving))
    return found


def error(states: list[Told], second: float, *, moved: bool = False) -> float:
    pose = pose_at(states, int(second * S), MOUNT, known_s=10.0, moved=moved)
    assert pose is not None
    return pose.error_deg


def test_a_camera_that_does_not_say_whether_it_moves_stands_once_it_told_the_same_twice() -> None:
    states = course(10.0, 10.0, 10.1, 40.0, 70.0, 70.0)
    assert [t.moving for t in states] == [True, False, False, True, True, False]
    over_north = course(359.9, 0.0)
    assert not over_north[1].moving
    zoomed = told(states[-1], 9 * S, Turned(70.0, 0.0, 2.0), None)
    assert zoomed.moving
    assert not told(None, S, Turned(0.0, 0.0), moving=False).moving


def test_the_age_of_what_it_told_counts_only_while_it_moves() -> None:
    still = course(10.0, 10.0, 10.0)
    assert error(still, 9.0) == 1.0
    turning = course(10.0, 40.0, 70.0)
    assert 29.9 < error(turning, 3.5) < 30.1
    assert error(turning, 3.0) == 1.0
    assert error(still, 3.5, moved=True) > 29.9


def test_a_frame_from_before_the_newest_state_takes_the_nearest_and_knows_of_the_turn_between() -> None:  # fmt: skip
    states = course(10.0, 10.0, 40.0, 40.0)
    pose = pose_at(states, int(2.25 * S), MOUNT, known_s=10.0)
    assert pose is not None
    assert pose.azimuth_deg == 10.0
    assert 14.9 < pose.error_deg < 15.1
    later = pose_at(states, int(2.75 * S), MOUNT, known_s=10.0)
    assert later is not None
    assert later.azimuth_deg == 40.0


def test_what_was_told_too_long_ago_is_not_known() -> None:
    assert pose_at([], S, MOUNT, known_s=10.0) is None
    assert pose_at(course(10.0, 10.0), 13 * S, MOUNT, known_s=10.0) is None
    assert pose_at(course(10.0, 10.0), 0, MOUNT, known_s=0.5) is None


@given(
    st.lists(st.floats(0, 360), max_size=8), st.integers(0, 20 * S), st.booleans(), st.floats(0.1, 30),
)  # fmt: skip
def test_a_pose_is_never_surer_than_the_mount_and_always_a_direction(pans: list[float], ts_ns: int, moved: bool, known_s: float) -> None:  # fmt: skip
    pose = pose_at(course(*pans), ts_ns, MOUNT, known_s=known_s, moved=moved)
    if pose is not None:
        assert 1.0 <= pose.error_deg <= 180.0
        assert 0.0 <= pose.azimuth_deg < 360.0
