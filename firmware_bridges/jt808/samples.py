"""A position as the sample of a vehicle."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timezone

from firmware_bridges.jt808.location import Extra, Location
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample

CHANNELS = (
    Channel("lat", "deg"),
    Channel("lon", "deg"),
    Channel("alt", "m"),
    Channel("speed", "km/h"),
    Channel("course", "deg"),
    Channel("fix", "1", "i"),
    Channel("satellites", "1", "i"),
    Channel("odometer", "km"),
    Channel("fuel", "L"),
    Channel("ignition", "1", "b"),
    Channel("emergency", "1", "b"),
    Channel("alarms", "1", "i"),
    Channel("status", "1", "i"),
    Channel("signal", "1", "i"),
    Channel("extras", "1", "s"),
)
_MAX_LAT, _MAX_LON, _MAX_COURSE = 90_000_000, 180_000_000, 360
_NOT_TOLD = 0xFFFF
_READ = {(0x01, 4), (0x02, 2), (0x30, 1), (0x31, 1)}


def place_quality(place: Location) -> int:
    """0, or why the coordinates are no position: no fix (0, 0 as well), or beyond the globe."""
    if not place.fix_valid or (place.lat == 0 and place.lon == 0):
        return int(Quality.NO_FIX)
    if abs(place.lat) > _MAX_LAT or abs(place.lon) > _MAX_LON:
        return int(Quality.RANGE)
    return 0


def sample(spec: DeviceSpec, place: Location, ts_ns: int, zone: timezone) -> Sample:
    """Without a fix lat, lon, alt, speed and course are None and marked: an old coordinate is no position."""
    bad = place_quality(place)
    course = None if place.course_deg > _MAX_COURSE else float(place.course_deg % 360)
    speed = None if place.speed_dkmh == _NOT_TOLD else place.speed_dkmh / 10
    where = (place.lat / 1e6, place.lon / 1e6, float(place.altitude_m), speed, course)
    satellites, signal = place.item(0x31, 1), place.item(0x30, 1)
    values = (
        *((None,) * 5 if bad else where),
        0 if bad else 2,
        satellites.number if satellites else None,
        _tenths(place.item(0x01, 4)),
        _tenths(place.item(0x02, 2)),
        place.acc_on,
        bool(place.alarm & 1),
        place.alarm,
        place.status,
        signal.number if signal else None,
        _as_hex(place.extras),
    )
    missing = int(Quality.MISSING)
    quality = (
        (bad,) * 5 if bad else (0, 0, 0, *(missing if v is None else 0 for v in (speed, course)))
    )
    at = place.time(zone)
    return Sample(
        spec,
        ts_ns,
        values,
        int(at.timestamp()) * 1_000_000_000 if at else None,
        (*quality, *(0,) * (len(CHANNELS) - 5)) if any(quality) else None,
    )


def _tenths(item: Extra | None) -> float | None:
    return item.number / 10 if item else None


def _as_hex(extras: Iterable[Extra]) -> str | None:
    """The items that have no quantity of their own, as `E4:0064 E5:01`."""
    kept = [x for x in extras if (x.id, len(x.data)) not in _READ]
    return " ".join(f"{x.id:02X}:{x.data.hex()}" for x in kept) or None
