"""Message 0x0200: alarm and status words, position, and additional items (2019 edition, clause 8.18)."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from tocsin.errors import CodecError, CodecReason

CHINA = timezone(timedelta(hours=8))
_BASE = struct.Struct(">IIIIhHH6s")
BASE_BYTES = _BASE.size
_SOUTH, _WEST = 1 << 2, 1 << 3


class Extra(msgspec.Struct, frozen=True):
    """One additional item; one nobody knows is kept as it came."""

    id: int
    data: bytes

    @property
    def number(self) -> int:
        """`data` as one unsigned number."""
        return int.from_bytes(self.data, "big")


class Location(msgspec.Struct, frozen=True):
    """One position as the terminal told it.

    `lat` and `lon` are micro-degrees with sign; `time_bcd` is the local time as six BCD bytes. `tail` is what could
    not be read as items: the position stands whatever follows it.
    """

    alarm: int
    status: int
    lat: int
    lon: int
    altitude_m: int
    speed_dkmh: int
    course_deg: int
    time_bcd: bytes
    extras: tuple[Extra, ...] = ()
    tail: bytes = b""

    @property
    def acc_on(self) -> bool:
        """Ignition (status bit 0)."""
        return bool(self.status & 1)

    @property
    def fix_valid(self) -> bool:
        """Whether the terminal has a fix (status bit 1); without one the coordinates are old or zero."""
        return bool(self.status & 2)

    def time(self, zone: timezone = CHINA) -> datetime | None:
        """The terminal's time, None where the bytes are no date."""
        return bcd_time(self.time_bcd, zone)

    def item(self, number: int, size: int) -> Extra | None:
        """The first item `number` that has `size` bytes."""
        for item in self.extras:
            if item.id == number and len(item.data) == size:
                return item
        return None


def bcd_time(data: bytes, zone: timezone = CHINA) -> datetime | None:
    """YYMMDDhhmmss as BCD; None where it is no date (zeroes, letters, a 13th month)."""
    digits = data.hex()
    if len(digits) != 12 or not digits.isdecimal():
        return None
    year, month, day, hour, minute, second = (int(digits[i : i + 2]) for i in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None


def time_bcd(wall_ns: int, zone: timezone = CHINA) -> bytes:
    """Unix nanoseconds as local YYMMDDhhmmss; the part of a second is cut off."""
    at = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).astimezone(zone)
    return bytes.fromhex(at.strftime("%y%m%d%H%M%S"))


def decode_location(data: bytes) -> Location:
    """Body of 0x0200, one item of 0x0704, or what follows the serial in 0x0201 and 0x0500.

    Raises:
        CodecError: truncated, when less than the position is there.
    """
    if len(data) < BASE_BYTES:
        raise CodecError(
            CodecReason.TRUNCATED, f"a position has {BASE_BYTES} bytes, {len(data)} are there"
        )
    alarm, status, lat, lon, altitude, speed, course, stamp = _BASE.unpack_from(data)
    extras, tail = _items(data[BASE_BYTES:])
    return Location(
        alarm=alarm,
        status=status,
        lat=-lat if status & _SOUTH else lat,
        lon=-lon if status & _WEST else lon,
        altitude_m=altitude,
        speed_dkmh=speed,
        course_deg=course,
        time_bcd=stamp,
        extras=extras,
        tail=tail,
    )


def _items(data: bytes) -> tuple[tuple[Extra, ...], bytes]:
    found: list[Extra] = []
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + data[at + 1]
        if end > len(data):
            break
        found.append(Extra(data[at], data[at + 2 : end]))
        at = end
    return tuple(found), data[at:]


def encode_location(location: Location) -> bytes:
    """The body of 0x0200. The signs of `lat` and `lon` set the status bits for south and west."""
    status = location.status & ~(_SOUTH | _WEST)
    status |= (_SOUTH if location.lat < 0 else 0) | (_WEST if location.lon < 0 else 0)
    base = _BASE.pack(
        location.alarm,
        status,
        abs(location.lat),
        abs(location.lon),
        location.altitude_m,
        location.speed_dkmh,
        location.course_deg,
        location.time_bcd,
    )
    items = b"".join(bytes((item.id, len(item.data))) + item.data for item in location.extras)
    return base + items + location.tail


class Batch(msgspec.Struct, frozen=True):
    """Message 0x0704: positions at once; kind 1 those kept while there was no link. `broken` items were unreadable."""

    count: int
    kind: int
    items: tuple[Location, ...]
    broken: int = 0
    tail: bytes = b""


def decode_batch(data: bytes) -> Batch:
    """Body of 0x0704; one unreadable item costs only itself.

    Raises:
        CodecError: truncated.
    """
    if len(data) < 3:
        raise CodecError(
            CodecReason.TRUNCATED, f"a batch has at least 3 bytes, {len(data)} are there"
        )
    count, kind = struct.unpack_from(">HB", data)
    items: list[Location] = []
    at, broken = 3, 0
    while len(items) + broken < count and at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            break
        try:
            items.append(decode_location(data[at + 2 : end]))
        except CodecError:
            broken += 1
        at = end
    return Batch(count, kind, tuple(items), broken, data[at:])


def encode_batch(kind: int, items: tuple[Location, ...]) -> bytes:
    """The body of 0x0704."""
    bodies = [encode_location(item) for item in items]
    return struct.pack(">HB", len(bodies), kind) + b"".join(
        struct.pack(">H", len(body)) + body for body in bodies
    )
