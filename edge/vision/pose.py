"""Where a camera looks, and in which direction a box of its picture lies. Pure."""

from __future__ import annotations

import math

import msgspec

from edge.vision.observation import Box

_SQRT_12 = math.sqrt(12.0)


class Pose(msgspec.Struct, frozen=True):
    """A camera's optical axis, and how wide it sees. Lens distortion is not taken into account: part of the error."""

    azimuth_deg: float  # clockwise from true north
    elevation_deg: float  # above the horizon
    hfov_deg: float  # horizontal field of view, under 180
    roll_deg: float = 0.0  # the picture's horizon falls to the right when positive
    error_deg: float = 1.0  # standard deviation of the axis, each way


class Bearing(msgspec.Struct, frozen=True):
    """A direction; errors are standard deviations."""

    azimuth_deg: float  # 0 to under 360, clockwise from true north
    elevation_deg: float
    azimuth_error_deg: float
    elevation_error_deg: float


def bearing_of(box: Box, width: int, height: int, pose: Pose) -> Bearing:
    """Of the middle of the box's lower edge: where smoke rises from, where somebody stands. Pinhole camera, `width` x `height` px."""
    focal_px = width / 2 / math.tan(math.radians(pose.hfov_deg) / 2)
    x, y = box.x + box.width / 2, box.y + box.height
    azimuth, elevation = _direction(x, y, width, height, focal_px, pose)
    left, _ = _direction(box.x, y, width, height, focal_px, pose)
    right, _ = _direction(box.x + box.width, y, width, height, focal_px, pose)
    _, top = _direction(x, box.y, width, height, focal_px, pose)
    across = abs((right - left + 180) % 360 - 180) / _SQRT_12
    down = abs(top - elevation) / _SQRT_12
    # near the zenith a small turn of the axis is a large one of the azimuth
    stretch = 1 / max(math.cos(math.radians(elevation)), 1e-3)
    return Bearing(
        azimuth,
        elevation,
        min(180.0, math.hypot(pose.error_deg * stretch, across)),
        min(90.0, math.hypot(pose.error_deg, down)),
    )


def _direction(
    x: float, y: float, width: int, height: int, focal_px: float, pose: Pose
) -> tuple[float, float]:
    """(azimuth, elevation) in degrees of a point of the picture."""
    right, up = (x - width / 2) / focal_px, (height / 2 - y) / focal_px
    roll, tilt, pan = (
        math.radians(a) for a in (pose.roll_deg, pose.elevation_deg, pose.azimuth_deg)
    )
    right, up = right * math.cos(roll) - up * math.sin(roll), right * math.sin(roll) + up * math.cos(roll)  # fmt: skip
    forward, up = math.cos(tilt) - up * math.sin(tilt), math.sin(tilt) + up * math.cos(tilt)
    azimuth = math.degrees(pan + math.atan2(right, forward)) % 360
    return azimuth, math.degrees(math.atan2(up, math.hypot(forward, right)))


class Turned(msgspec.Struct, frozen=True):
    """What a camera that turns and zooms tells of itself."""

    pan_deg: float  # clockwise, seen from above
    tilt_deg: float  # up; beyond straight up or down the camera turns its picture over
    zoom: float = 1.0  # times as long as at its widest


class Mount(msgspec.Struct, frozen=True):
    """How a camera that turns is mounted, on a mast that stands straight."""

    zero: Pose  # at pan 0 and tilt 0, at its widest
    speed_deg_per_s: float = 60.0  # how fast it can turn: what is told is so old and so wrong

    def pose(self, turned: Turned, *, age_s: float = 0.0, moving: bool = False) -> Pose:
        """`age_s` counts only while it moves."""
        zero = self.zero
        azimuth = zero.azimuth_deg + turned.pan_deg
        elevation = (zero.elevation_deg + turned.tilt_deg + 180) % 360 - 180
        if abs(elevation) > 90:
            azimuth, elevation = azimuth + 180, math.copysign(180, elevation) - elevation
        seen = math.tan(math.radians(zero.hfov_deg) / 2) / max(1.0, turned.zoom)
        doubt = self.speed_deg_per_s * age_s if moving else 0.0
        return Pose(
            azimuth % 360,
            elevation,
            math.degrees(2 * math.atan(seen)),
            zero.roll_deg,
            min(180.0, math.hypot(zero.error_deg, doubt)),
        )
