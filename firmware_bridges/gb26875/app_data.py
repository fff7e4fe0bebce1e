"""Application data of GB/T 26875.3-2011, 8: type flag, number of objects, objects. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tocsin.errors import CodecError, CodecReason

_TEXT_BYTES = 31
_SYSTEM = ("system_type", "system_addr")
_COMPONENT = (*_SYSTEM, "component_type", "component_addr")

# Fields of one object by type flag, in the order of the line. Tables 2 and 8 to 20 of the standard.
LAYOUTS: dict[int, tuple[str, ...]] = {
    1: (*_SYSTEM, "status", "time"),
    2: (*_COMPONENT, "status", "description", "time"),
    3: (*_COMPONENT, "analog_type", "analog_raw", "time"),
    4: (*_SYSTEM, "operation", "operator", "time"),
    5: (*_SYSTEM, "version"),
    6: (*_SYSTEM, "config"),
    7: (*_COMPONENT, "description"),
    8: (*_SYSTEM, "time"),
    21: ("uitd_status", "time"),
    24: ("operation", "operator", "time"),
    25: ("version",),
    26: ("config",),
    28: ("time",),
    61: _SYSTEM,
    62: _COMPONENT,
    63: _COMPONENT,
    64: (*_SYSTEM, "records", "time"),
    65: _SYSTEM,
    66: _SYSTEM,
    67: _COMPONENT,
    68: _SYSTEM,
    81: ("reserved",),
    84: ("records", "time"),
    85: ("reserved",),
    86: ("reserved",),
    88: ("reserved",),
    89: ("reserved",),
    90: ("time",),
    91: ("timeout_min",),
}
_SIZES = {"status": 2, "component_addr": 4, "analog_raw": 2, "time": 6, "version": 2}


def decode_app(data: bytes) -> dict[str, Any]:
    """Type, count and objects with named fields. An unknown type keeps its bytes as `data`.

    Raises:
        CodecError: objects that do not fit the bytes.
    """
    if len(data) < 2:
        raise CodecError(CodecReason.TRUNCATED, "no type and count", offset=len(data))
    kind, count = data[0], data[1]
    facts: dict[str, Any] = {"type": kind, "count": count}
    layout = LAYOUTS.get(kind)
    if layout is None:
        return facts | {"data": data[2:].hex()}
    objects, at = [], 2
    for _ in range(count):
        made, at = _object(data, at, layout)
        objects.append(made)
    if at != len(data):
        text = f"{len(data) - at} bytes follow the {count} objects"
        raise CodecError(CodecReason.LENGTH, text, offset=at)
    return facts | {"objects": objects}


def _object(data: bytes, at: int, layout: tuple[str, ...]) -> tuple[dict[str, Any], int]:
    made: dict[str, Any] = {}
    for name in layout:
        size = _SIZES.get(name, _TEXT_BYTES if name == "description" else 1)
        if name == "config" and at < len(data):
            size = 1 + data[at]
        raw = data[at : at + size]
        if len(raw) < size:
            raise CodecError(CodecReason.TRUNCATED, f"{name} is not whole", offset=at)
        at += size
        if name == "component_addr":
            made["component_addr_hex_le"] = raw.hex()
        made[name] = _field(name, raw)
    return made, at


def _field(name: str, raw: bytes) -> object:
    if name == "time":
        return time_of(raw)
    if name == "version":
        return f"{raw[0]}.{raw[1]}"
    if name == "config":
        return text_of(raw[1:])
    if name == "description":
        return text_of(raw)
    return int.from_bytes(raw, "little", signed=name == "analog_raw")


def text_of(raw: bytes) -> str:
    """GB 18030 up to the first zero byte."""
    return raw.partition(b"\x00")[0].decode("gb18030", "replace")


def time_of(raw: bytes) -> str | None:
    """ISO 8601 without a zone of second, minute, hour, day, month, year - 2000; None for what is no time."""
    second, minute, hour, day, month, year = raw
    try:
        return datetime(2000 + year, month, day, hour, minute, second).isoformat()  # noqa: DTZ001
    except ValueError:
        return None
