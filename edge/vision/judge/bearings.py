"""From two bearings to a place, and where the sun stands. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from edge.vision.pose import Bearing, Pose

EARTH_KM = 6371.0
MOST_ERROR_KM, MOST_ERROR_SHARE = 1.0, 0.25
"""Of a place where bearings cross (one standard deviation); the share is that of the distance to the nearer camera."""
_HEIGHT_ERRORS, _HIDDEN_M = 3.0, 100.0  # a ridge hides the foot from one camera
_REFRACTION = 0.13  # of the earth's curve that light follows


class Standing(msgspec.Struct, frozen=True):
    """Where a camera stands (degrees, WGS 84) and looks."""

    lat: float
    lon: float
    pose: Pose
    height_m: float | None = None  # above sea level; None: not known


class Place(msgspec.Struct, frozen=True):
    """Where two bearings cross."""

    lat: float
    lon: float
    km: float  # from the first camera
    error_km: float


def crossing(
    first: Standing,
    one: Bearing,
    second: Standing,
    two: Bearing,
    *,
    farthest_km: float = 30.0,
    least_deg: float = 5.0,
) -> Place | None:
    """Where they cross, if they do in front of both cameras, near enough, at an angle that says something, where the errors of both leave a place
    and, of cameras whose height is known, at one height. On a flat map: good to 0.1 % in 30 km.
    """
    shrink = math.cos(math.radians((first.lat + second.lat) / 2))
    degree_km = math.radians(1) * EARTH_KM
    east = ((second.lon - first.lon + 180) % 360 - 180) * degree_km * shrink
    north = (second.lat - first.lat) * degree_km
    a, b = math.radians(one.azimuth_deg), math.radians(two.azimuth_deg)
    sine = math.sin(b - a)
    if abs(sine) < math.sin(math.radians(least_deg)):
        return None
    km = (east * math.cos(b) - north * math.sin(b)) / -sine
    other_km = (east * math.cos(a) - north * math.sin(a)) / -sine
    if not (0 < km <= farthest_km and 0 < other_km <= farthest_km):
        return None
    lat = first.lat + km * math.cos(a) / degree_km
    lon = first.lon + km * math.sin(a) / (degree_km * shrink)
    spread = math.hypot(
        km * math.radians(one.azimuth_error_deg), other_km * math.radians(two.azimuth_error_deg)
    ) / abs(sine)
    if spread > min(MOST_ERROR_KM, MOST_ERROR_SHARE * min(km, other_km)):
        return None
    if not _level(first, one, km, second, two, other_km, spread):
        return None
    return Place(lat, lon, km, spread)


def _level(
    first: Standing, one: Bearing, km: float, second: Standing, two: Bearing, other_km: float,
    error_km: float,
) -> bool:  # fmt: skip
    """Whether what both see there may be at one height; True where the height of one is not known."""
    if first.height_m is None or second.height_m is None:
        return True
    low, low_error = _seen_at_m(first.height_m, one, km, error_km)
    high, high_error = _seen_at_m(second.height_m, two, other_km, error_km)
    return abs(high - low) <= _HEIGHT_ERRORS * math.hypot(low_error, high_error) + _HIDDEN_M


def _seen_at_m(height_m: float, bearing: Bearing, km: float, error_km: float) -> tuple[float, float]:  # fmt: skip
    """The height above sea level so far along a bearing, and its error."""
    up = math.radians(min(max(bearing.elevation_deg, -89.0), 89.0))
    curve = (1 - _REFRACTION) * km * km / (2 * EARTH_KM)
    across = km * math.radians(bearing.elevation_error_deg) / math.cos(up) ** 2
    error = math.hypot(across, error_km * math.tan(up))
    return height_m + 1000 * (km * math.tan(up) + curve), 1000 * error


def sun(lat: float, lon: float, ts_ns: int) -> tuple[float, float]:
    """(azimuth, elevation) of the sun, degrees, good to 0.1: the Astronomical Almanac's low-precision formula (section C)."""
    at = datetime.fromtimestamp(ts_ns / 1e9, UTC)
    days = (at - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400
    mean = math.radians((280.460 + 0.9856474 * days) % 360)
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = mean + math.radians(1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 0.0000004 * days)
    right = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    sidereal = math.radians((280.46061837 + 360.98564736629 * days + lon) % 360)
    hour, phi = sidereal - right, math.radians(lat)
    elevation = math.asin(
        math.sin(phi) * math.sin(declination)
        + math.cos(phi) * math.cos(declination) * math.cos(hour)
    )
    azimuth = math.atan2(
        -math.cos(declination) * math.sin(hour),
        math.sin(declination) * math.cos(phi)
        - math.cos(declination) * math.cos(hour) * math.sin(phi),
    )
    return math.degrees(azimuth) % 360, math.degrees(elevation)


def apart(one_deg: float, two_deg: float) -> float:
    """The angle between two azimuths, 0..180 degrees."""
    return abs((one_deg - two_deg + 180) % 360 - 180)
