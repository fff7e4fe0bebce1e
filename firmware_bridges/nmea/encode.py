"""A position as the sentences a receiver sends, and the values those sentences hold after their rounding."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from tocsin.contract.units import conversion

_MINUTE_DECIMALS = 5
_PER_DEGREE = 60 * 10**_MINUTE_DECIMALS
_KNOTS_TO_MPS = conversion("[kn_i]", "m/s")
_MPS_TO_KNOTS = conversion("m/s", "[kn_i]")


class Position(msgspec.Struct, frozen=True):
    """Where a vehicle is: degrees (WGS 84), metres above sea level, m/s, degrees from true north."""

    lat: float
    lon: float
    alt: float
    speed: float
    course: float


class Burst(msgspec.Struct, frozen=True):
    """One period's sentences, and what they say in canonical units at `time_ns` (UTC, whole milliseconds)."""

    time_ns: int
    sentences: tuple[str, ...]
    values: dict[str, float | int | None]


def checksum(body: str) -> int:
    """XOR of the characters between `$` and `*` (NMEA 0183, 5.3.3)."""
    total = 0
    for char in body.encode("latin-1"):
        total ^= char
    return total


def frame(body: str) -> str:
    """`body` with `$`, checksum and line end."""
    return f"${body}*{checksum(body):02X}\r\n"


def angle(degrees: float, whole_digits: int, hemispheres: str) -> tuple[str, float]:
    """`(d)ddmm.mmmmm,H` and the degrees that it holds."""
    steps = round(abs(degrees) * _PER_DEGREE)
    whole, rest = divmod(steps, _PER_DEGREE)
    unit = 10**_MINUTE_DECIMALS
    text = f"{whole:0{whole_digits}d}{rest // unit:02d}.{rest % unit:0{_MINUTE_DECIMALS}d}"
    held = round(steps / _PER_DEGREE, 10)
    if degrees < 0:
        return f"{text},{hemispheres[1]}", -held
    return f"{text},{hemispheres[0]}", held


def burst(at_ns: int, position: Position | None, *, satellites: int = 11) -> Burst:
    """RMC, GGA, GSA and VTG of one period; without a position they say so, as real receivers do."""
    time_ns = at_ns // 1_000_000 * 1_000_000
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    hms = f"{moment:%H%M%S}.{time_ns // 1_000_000 % 1000:03d}"
    date = f"{moment:%d%m%y}"
    if position is None:
        bodies = (
            f"GNRMC,{hms},V,,,,,,,{date},,,N",
            f"GNGGA,{hms},,,,,0,00,99.9,,M,,M,,",
            "GNGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9",
            "GNVTG,,T,,M,,N,,K,N",
        )
        names = ("lat", "lon", "alt", "speed", "course", "hdop")
        values: dict[str, float | int | None] = {**dict.fromkeys(names), "fix": 0, "satellites": 0}
        return Burst(time_ns, tuple(frame(b) for b in bodies), values)
    lat_text, lat = angle(position.lat, 2, "NS")
    lon_text, lon = angle(position.lon, 3, "EW")
    knots = f"{_MPS_TO_KNOTS(position.speed):.3f}"
    kmh = f"{position.speed * 3.6:.3f}"
    course, alt, hdop = f"{round(position.course, 2) % 360.0:.2f}", f"{position.alt:.1f}", "0.8"
    used = ",".join(f"{n:02d}" if n <= satellites else "" for n in range(1, 13))
    bodies = (
        f"GNRMC,{hms},A,{lat_text},{lon_text},{knots},{course},{date},,,A",
        f"GNGGA,{hms},{lat_text},{lon_text},1,{satellites:02d},{hdop},{alt},M,-3.2,M,,",
        f"GNGSA,A,3,{used},1.4,{hdop},1.1",
        f"GNVTG,{course},T,,M,{knots},N,{kmh},K,A",
    )
    values = {
        "lat": lat,
        "lon": lon,
        "alt": float(alt),
        "speed": _KNOTS_TO_MPS(float(knots)),
        "course": float(course),
        "fix": 3,
        "satellites": satellites,
        "hdop": float(hdop),
    }
    return Burst(time_ns, tuple(frame(b) for b in bodies), values)
