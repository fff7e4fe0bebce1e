"""What stands in a body: serial number, send time, station, observation time, elements (SL 651-2014, 6.6 and annex C). Pure.

Nothing here fails: what cannot be read stays as hex.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

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
_SLOTS = 12


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


def parse(body: bytes, *, up: bool) -> Body:
    """A body that begins with a serial number and a time; of a station's the station and observations too."""
    if len(body) < 8:
        return Body()
    serial, sent = int.from_bytes(body[:2], "big"), time_of(body[2:8])
    if not up or body[8:10] != b"\xf1\xf1" or len(body) < 15:
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
    at, stepped = 0, False
    while at < len(data):
        wide = data[at] == 0xFF
        head = 3 if wide else 2
        if len(data) < at + head:
            break
        code = data[at + wide]
        name = f"FF{code:02X}" if wide else f"{code:02X}"
        size, decimals = data[at + head - 1] >> 3, data[at + head - 1] & 7
        start = at + head
        if not wide and (code == RAIN_5MIN or code in LEVELS_5MIN):
            size = _SLOTS if code == RAIN_5MIN else 2 * _SLOTS  # whatever the length byte says
        elif not wide and code in (PICTURE, TEXT):
            size = len(data) - start
        raw = data[start : start + size]
        if len(raw) < size:
            break
        rest = data[start:]
        if stepped and size and len(rest) % size == 0 and len(rest) > size:
            values = [rest[i : i + size] for i in range(0, len(rest), size)]
            series: dict[str, Any] = {"id": name, "decimals": decimals}
            found.append(series | {"values": [number(v, decimals) for v in values]})
            return found
        stepped = code == STEP and not wide
        found.append(_element(name, -1 if wide else code, raw, decimals))
        at = start + size
    if at < len(data):
        found.append({"id": None, "hex": data[at:].hex()})
    return found


def _element(name: str, code: int, raw: bytes, decimals: int) -> dict[str, Any]:
    if code == RAIN_5MIN:
        return {"id": name, "rain_5min_mm": [None if b == 0xFF else b / 10 for b in raw]}
    if code in LEVELS_5MIN:
        levels = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]
        return {"id": name, "level_5min_m": [None if v == 0xFFFF else v / 100 for v in levels]}
    if code == STATUS:
        return {"id": name, "status_alarm": raw.hex()}
    if code in (PICTURE, TEXT):
        return {"id": name, "hex": raw.hex()}
    return {"id": name, "decimals": decimals, "hex": raw.hex(), "value": number(raw, decimals)}


def number(raw: bytes, decimals: int) -> float | None:
    """BCD digits; all FF is missing, a leading FF is the minus sign. None also for what are no digits."""
    negative = len(raw) > 1 and raw[0] == 0xFF
    text = (raw[1:] if negative else raw).hex()
    if not text.isdigit():
        return None
    return (-1 if negative else 1) * int(text) / 10.0**decimals
