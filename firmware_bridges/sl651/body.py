"""What stands in a body: serial number, send time, station, observation time, elements (SL 651-2014, 6.6 and annex C). Pure.

Nothing here fails: what cannot be read stays as hex.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tocsin.errors import CodecError, CodecReason

RAIN_5MIN, STATUS, STEP, PICTURE, TEXT = 0xF4, 0x45, 0x04, 0xF3, 0xF2
LEVELS_5MIN = range(0xF5, 0xFD)
CLASSES = {
    0x50: "rainfall",
    0x48: "river",
    0x4B: "reservoir",
    0x5A: "sluice",
    0x44: "pumping",
    0x54: "tide",
    0x4D: "soil moisture",
    0x47: "groundwater",
    0x51: "water quality",
    0x49: "intake",
    0x4F: "outlet",
}
_SLOTS, _TEXT_MARK = 12, b"\xf2\xf2"


class Body(msgspec.Struct, frozen=True):
    """A body taken apart. Times as ISO 8601 without a zone; None where they are no times.

    `elements` is None where the body holds no observation; `rest` is then what follows the station, None without one.
    """

    serial: int | None = None
    send_time: str | None = None
    station: str | None = None
    station_class: str | None = None
    obs_time: str | None = None
    elements: list[dict[str, Any]] | None = None
    rest: str | None = None


def parse(body: bytes) -> Body:
    """A body that begins with a serial number and a time; the station and observations where they follow."""
    if len(body) < 8:
        return Body()
    serial, sent = int.from_bytes(body[:2], "big"), time_of(body[2:8])
    if body[8:10] == _TEXT_MARK:  # 35H: what an observer typed, without a station
        return Body(serial, sent, elements=elements(body[8:]))
    if body[8:10] != b"\xf1\xf1" or len(body) < 15:
        return Body(serial, sent)
    station, rest = body[10:15].hex(), body[15:]
    if len(rest) < 8 or rest[1:3] != b"\xf0\xf0":
        return Body(serial, sent, station, rest=rest.hex())
    kind = CLASSES.get(rest[0], f"{rest[0]:02X}")
    return Body(serial, sent, station, kind, time_of(rest[3:8]), elements(rest[8:]))


def time_of(raw: bytes) -> str | None:
    """Five or six bytes of BCD, year first."""
    text = raw.hex()
    if not text.isdigit():
        return None
    year, month, day, hour, minute, *rest = (int(text[i : i + 2]) for i in range(0, len(text), 2))
    second = rest[0] if rest else 0
    try:
        told = datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    return told.isoformat(timespec="seconds" if rest else "minutes")


def elements(data: bytes) -> list[dict[str, Any]]:
    """Every element in order. What cannot be an element ends the list as {"id": null, "hex"}."""
    found: list[dict[str, Any]] = []
    at, step = 0, b""
    while (head := _head(data, at)) is not None:
        raw = data[head.start : head.end]
        count = _series(data[head.start :], head.size, step) if step and head.size else 1
        if count > 1:
            values = [data[head.start + i * head.size :][: head.size] for i in range(count)]
            series: dict[str, Any] = {"id": head.name, "decimals": head.decimals}
            found.append(series | {"values": [number(v, head.decimals) for v in values]})
        else:
            found.append(_element(head, raw))
        step = raw if head.code == STEP else b""
        at = head.start + count * head.size
    if at < len(data):
        found.append({"id": None, "hex": data[at:].hex()})
    return found


class _Head(msgspec.Struct, frozen=True):
    name: str
    code: int  # -1 of an extension (FF)
    size: int
    decimals: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.size


def _head(data: bytes, at: int) -> _Head | None:
    """The element at `at`; None where there is no whole one."""
    wide = data[at : at + 1] == b"\xff"
    start = at + 2 + wide
    if len(data) < start:
        return None
    code, told = data[start - 2], data[start - 1]
    size = told >> 3
    if not wide and (code == RAIN_5MIN or code in LEVELS_5MIN):
        size = _SLOTS if code == RAIN_5MIN else 2 * _SLOTS  # whatever the length byte says
    elif not wide and code in (PICTURE, TEXT):
        size = len(data) - start
    if len(data) < start + size:
        return None
    name = f"FF{code:02X}" if wide else f"{code:02X}"
    return _Head(name, -1 if wide else code, size, told & 7, start)


def _series(rest: bytes, size: int, step: bytes) -> int:
    """How many values an element behind a time step has: those of one hour where whole elements follow them, else all."""
    minutes = step_minutes(step.hex())
    hour = 60 // minutes if minutes and 60 % minutes == 0 else 0
    if hour and len(rest) > hour * size and _are_elements(rest, hour * size):
        return hour
    return len(rest) // size if len(rest) % size == 0 else 1


def _are_elements(data: bytes, at: int) -> bool:
    while at < len(data):
        head = _head(data, at)
        if head is None:
            return False
        at = head.end
    return True


def step_minutes(code: str) -> int:
    """Days, hours, minutes of a time step (six digits) in minutes; 0 where they are none."""
    if len(code) != 6 or not code.isdecimal():
        return 0
    days, hours, minutes = (int(code[i : i + 2]) for i in (0, 2, 4))
    return (days * 24 + hours) * 60 + minutes


def _element(head: _Head, raw: bytes) -> dict[str, Any]:
    name, code = head.name, head.code
    if code == RAIN_5MIN:
        return {"id": name, "rain_5min_mm": [None if b == 0xFF else b / 10 for b in raw]}
    if code in LEVELS_5MIN:
        levels = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
        return {"id": name, "level_5min_m": [None if v == 0xFFFF else v / 100 for v in levels]}
    if code == STATUS:
        return {"id": name, "status_alarm": raw.hex()}
    if code in (PICTURE, TEXT):
        return {"id": name, "hex": raw.hex()}
    value = number(raw, head.decimals)
    return {"id": name, "decimals": head.decimals, "hex": raw.hex(), "value": value}


def number(raw: bytes, decimals: int) -> float | None:
    """BCD digits; all FF is missing, a leading FF is the minus sign. None also for what are no digits."""
    negative = len(raw) > 1 and raw[0] == 0xFF
    text = (raw[1:] if negative else raw).hex()
    if not text.isdigit():
        return None
    return (-1 if negative else 1) * int(text) / 10.0**decimals


def element(code: str, value: float | None, size: int, decimals: int) -> bytes:
    """One element of `size` bytes; None is missing. `code` as it is decoded, `26` or `FF92`.

    Raises:
        CodecError: the value has more digits.
    """
    head = bytes.fromhex(code) + bytes((size << 3 | decimals,))
    if value is None:
        return head + b"\xff" * size
    digits = str(round(abs(value) * 10**decimals)).zfill(2 * size)
    told = bytes.fromhex(digits) if len(digits) % 2 == 0 else b""
    if value < 0:
        told = b"\xff" + told[1:] if told[:1] == b"\0" else b""
    if len(told) != size:
        raise CodecError(CodecReason.BAD_FIELD, f"{value} does not fit {size} bytes")
    return head + told


def rain_array(values: Sequence[float | None]) -> bytes:
    """F4: twelve five-minute amounts, mm."""
    return b"\xf4\x60" + bytes(0xFF if v is None else round(v * 10) for v in values)


def level_array(code: str, values: Sequence[float | None]) -> bytes:
    """F5 to FC: twelve levels, m."""
    words = (0xFFFF if v is None else round(v * 100) for v in values)
    return bytes.fromhex(code) + b"\xc0" + b"".join(w.to_bytes(2, "big") for w in words)


def head(serial: int, sent: datetime) -> bytes:
    """The beginning of every body."""
    return serial.to_bytes(2, "big") + bytes.fromhex(f"{sent:%y%m%d%H%M%S}")


def report(
    serial: int, sent: datetime, station: str, kind: int, observed: datetime, told: bytes
) -> bytes:
    """The body of a report: `told` are its elements."""
    where = b"\xf1\xf1" + bytes.fromhex(station) + bytes((kind,))
    when = b"\xf0\xf0" + bytes.fromhex(f"{observed:%y%m%d%H%M}")
    return head(serial, sent) + where + when + told
