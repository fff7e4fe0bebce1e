"""A fix as the sample of a vehicle."""

from __future__ import annotations

from firmware_bridges.nmea.epoch import Fix
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample, SourceWindow

CHANNELS = (
    Channel("lat", "deg"),
    Channel("lon", "deg"),
    Channel("alt", "m"),
    Channel("speed", "[kn_i]"),
    Channel("course", "deg"),
    Channel("fix", "1", "i"),
    Channel("satellites", "1", "i"),
    Channel("hdop", "1"),
    Channel("accuracy", "m"),
)
_NO_FIX = (int(Quality.NO_FIX),) * 5 + (0,) * 4


def vehicle(
    device: str, measurement: str, *, period_s: float | None, window: SourceWindow, model: str
) -> DeviceSpec:
    """The device whose positions a receiver reports."""
    return DeviceSpec(device, measurement, CHANNELS, period_s, window, model)


def sample(spec: DeviceSpec, fix: Fix) -> Sample:
    """Position, speed and course are None and marked NO_FIX where the receiver has no fix; never 0, 0."""
    values = (
        fix.lat,
        fix.lon,
        fix.alt,
        fix.speed_kn,
        fix.course,
        fix.mode,
        fix.satellites,
        fix.hdop,
        fix.accuracy,
    )
    return Sample(spec, fix.at_ns, values, fix.time_ns, _NO_FIX if fix.mode == 0 else None)
