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
        azimuth, elevation, min(180.0, math.hypot(pose.error_deg * stretch, across)), math.hypot(pose.error_deg, down),
    )  # fmt: skip


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


class Mount(msgspec.Struct, frozen=True):
    """How a camera that turns is mounted: its poses from what it tells of itself (ONVIF PTZ status, in degrees)."""

    azimuth_at_zero_deg: float  # where it looks at pan 0
    wide_hfov_deg: float  # at zoom 0
    tele_hfov_deg: float  # at zoom 1
    elevation_at_zero_deg: float = 0.0
    error_deg: float = 1.0
    speed_deg_per_s: float = 60.0  # how fast it can turn: what is told is so old and so wrong

    def pose(self, pan_deg: float, tilt_deg: float, zoom: float, *, age_s: float = 0.0, moving: bool = False) -> Pose:  # fmt: skip
        """`zoom` from 0 (wide) to 1 (tele), the focal length growing evenly. `age_s` counts only while it moves."""
        wide, tele = (math.tan(math.radians(a) / 2) for a in (self.wide_hfov_deg, self.tele_hfov_deg))  # fmt: skip
        share = min(1.0, max(0.0, zoom))
        seen = 1 / ((1 - share) / wide + share / tele)
        turned = self.speed_deg_per_s * age_s if moving else 0.0
        return Pose(
            (self.azimuth_at_zero_deg + pan_deg) % 360,
            self.elevation_at_zero_deg + tilt_deg,
            math.degrees(2 * math.atan(seen)),
            error_deg=math.hypot(self.error_deg, turned),
        )
