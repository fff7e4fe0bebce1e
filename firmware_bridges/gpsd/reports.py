"""Reports of gpsd (gpsd_json(5)) to positions of a vehicle. Pure: no I/O, no clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from firmware_bridges.nmea.samples import CHANNELS as NMEA_CHANNELS
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk import Channel, DeviceSpec, Sample

WATCH = b'?WATCH={"enable":true,"json":true};\n'
MAX_LINE = 32_768  # gpsd's longest answer is 10,240 bytes; newer ones may grow
CHANNELS = tuple(Channel("speed", "m/s") if c.quantity == "speed" else c for c in NMEA_CHANNELS)
_NO_FIX = tuple(int(Quality.NO_FIX) if i < 5 else 0 for i in range(len(CHANNELS)))
_HUGE = 1e300  # JSON has whole numbers that no float holds
_NO_DOP = 99.0  # receivers send 99.9 for "none"


def decode_report(line: bytes) -> dict[str, Any]:
    """One line as an object with its `class`.

    Raises:
        CodecError: no such object.
    """
    try:
        report = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise CodecError(CodecReason.FRAMING, f"no JSON object: {exc}") from exc
    if not isinstance(report, dict) or not isinstance(report.get("class"), str):
        raise CodecError(CodecReason.BAD_FIELD, "no object with a class")
    return report


class Sky(msgspec.Struct, frozen=True):
    """What SKY and GST said last: satellites used, horizontal dilution, horizontal error (1 sigma, m)."""

    satellites: int | None = None
    hdop: float | None = None
    accuracy: float | None = None


def heard(sky: Sky, report: dict[str, Any]) -> Sky:
    """`sky` after a SKY or GST report."""
    if report["class"] == "GST":
        lat_m, lon_m = _number(report, "lat"), _number(report, "lon")
        both = None if lat_m is None or lon_m is None else math.hypot(lat_m, lon_m)
        return msgspec.structs.replace(sky, accuracy=both)
    used, satellites = report.get("uSat"), report.get("satellites")
    if not _is_count(used) and isinstance(satellites, list):
        used = sum(isinstance(one, dict) and one.get("used") is True for one in satellites)
    hdop = _number(report, "hdop")
    return msgspec.structs.replace(
        sky,
        satellites=used if _is_count(used) else sky.satellites,
        hdop=hdop if hdop is not None and hdop < _NO_DOP else None,
    )


def sample(spec: DeviceSpec, report: dict[str, Any], sky: Sky, at_ns: int) -> Sample:
    """The position of one TPV report; without a fix (mode 0 or 1) none, marked NO_FIX, never 0, 0."""
    mode = report.get("mode")
    lat, lon = _number(report, "lat", 90.0), _number(report, "lon", 180.0)
    fix = mode if mode in (2, 3) and lat is not None and lon is not None else 0
    alt = _number(report, "altMSL")
    where: tuple[Value, ...] = (
        lat,
        lon,
        _number(report, "alt") if alt is None else alt,
        _number(report, "speed"),
        _number(report, "track"),
    )
    values = (*(where if fix else (None,) * 5), fix, sky.satellites, sky.hdop, sky.accuracy)
    return Sample(spec, at_ns, values, time_ns(report), None if fix else _NO_FIX)


def time_ns(report: dict[str, Any]) -> int | None:
    """The report's own time (UTC); None if it has none, or no time that is one."""
    try:
        at = datetime.fromisoformat(report["time"])
    except (KeyError, TypeError, ValueError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _number(report: dict[str, Any], name: str, most: float = math.inf) -> float | None:
    value = report.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _HUGE:
        return None
    return float(value) if abs(value) <= most else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000
