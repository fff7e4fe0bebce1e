"""Application data of GB/T 26875.3-2011, 8: type flag, number of objects, objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from firmware_bridges.gb26875.names import (
    ANALOGS,
    COMPONENT_STATES,
    COMPONENTS,
    SYSTEM_OPERATIONS,
    SYSTEM_STATES,
    SYSTEMS,
    TRANSMITTER_OPERATIONS,
    TRANSMITTER_STATES,
    set_bits,
)
from tocsin.errors import CodecError, CodecReason

TEXT_BYTES = 31
_SYSTEM = ("system_type", "system_addr")
_COMPONENT = (*_SYSTEM, "component_type", "component_addr")

# Fields of one object by type flag, in the order of the line. 8.3.1 (up) and 8.3.2 (down) of the standard.
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
_STATES = {1: SYSTEM_STATES, 2: COMPONENT_STATES, 21: TRANSMITTER_STATES}
_OPERATIONS = {4: SYSTEM_OPERATIONS, 24: TRANSMITTER_OPERATIONS}
_NAMED = {"system_type": ("system_name", SYSTEMS), "component_type": ("component_name", COMPONENTS)}


def decode_app(data: bytes) -> dict[str, Any]:
    """Type, count and objects with named fields, words and numbers explained beside them.

    An unknown type keeps its bytes as `data`.

    Raises:
        CodecError: objects that do not fit the bytes.
    """
    facts, error = read_app(data)
    if error is not None:
        raise error
    return facts


def read_app(data: bytes) -> tuple[dict[str, Any], CodecError | None]:
    """The same, and why it is refused; objects that are whole are told even then, and what follows them as `rest`."""
    if len(data) < 2:
        error = CodecError(CodecReason.TRUNCATED, "no type and count", offset=len(data))
        return {"data": data.hex()}, error
    kind, count = data[0], data[1]
    facts: dict[str, Any] = {"type": kind, "count": count}
    layout = LAYOUTS.get(kind)
    if layout is None:
        return facts | {"data": data[2:].hex()}, None
    objects: list[dict[str, Any]] = []
    facts["objects"] = objects
    at = 2
    for _ in range(count):
        try:
            made, at = _object(data, at, layout)
        except CodecError as exc:
            return facts | {"rest": data[at:].hex()}, exc
        objects.append(made | _explained(kind, made))
    if at != len(data):
        text = f"{len(data) - at} bytes follow the {count} objects"
        error = CodecError(CodecReason.LENGTH, text, offset=at)
        return facts | {"rest": data[at:].hex()}, error
    return facts, None


def encode_app(kind: int, objects: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of objects whose fields are named and spelt as `decode_app` tells them; `time` None is zeroes.

    Raises:
        CodecError: an unknown type, a field that is missing or does not fit.
    """
    layout = LAYOUTS.get(kind)
    if layout is None or len(objects) > 0xFF:
        raise CodecError(CodecReason.BAD_FIELD, f"type {kind} with {len(objects)} objects")
    try:
        return bytes((kind, len(objects))) + b"".join(
            _encoded(name, one[name]) for one in objects for name in layout
        )
    except (KeyError, ValueError, OverflowError, AttributeError, TypeError) as exc:
        raise CodecError(CodecReason.BAD_FIELD, f"type {kind}: {exc!r}") from exc


def _object(data: bytes, at: int, layout: tuple[str, ...]) -> tuple[dict[str, Any], int]:
    made: dict[str, Any] = {}
    for name in layout:
        size = _SIZES.get(name, TEXT_BYTES if name == "description" else 1)
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


def _explained(kind: int, made: dict[str, Any]) -> dict[str, Any]:
    """What the numbers of one object stand for."""
    more: dict[str, Any] = {}
    for field, (name, table) in _NAMED.items():
        if made.get(field) in table:
            more[name] = table[made[field]]
    if kind in _STATES:
        more["states"] = set_bits(made.get("status", made.get("uitd_status", 0)), _STATES[kind])
    if kind in _OPERATIONS:
        more["operations"] = set_bits(made["operation"], _OPERATIONS[kind])
    analog = ANALOGS.get(made.get("analog_type", 0))
    if analog is not None:
        more |= {
            "analog_name": analog.quantity,
            "value": made["analog_raw"] / analog.per_unit,
            "unit": analog.unit,
        }
    return more


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


def _encoded(name: str, value: Any) -> bytes:
    if name == "time":
        return bytes(6) if value is None else time_bytes(datetime.fromisoformat(value))
    if name == "version":
        return bytes(int(part) for part in value.split(".", 1))
    if name == "config":
        text = cut_text(value, 0xFF)
        return bytes((len(text),)) + text
    if name == "description":
        return cut_text(value, TEXT_BYTES).ljust(TEXT_BYTES, b"\x00")
    number: int = value
    return number.to_bytes(_SIZES.get(name, 1), "little", signed=name == "analog_raw")


def text_of(raw: bytes) -> str:
    """GB 18030 up to the first zero byte."""
    return raw.partition(b"\x00")[0].decode("gb18030", "replace")


def cut_text(text: str, size: int) -> bytes:
    """GB 18030 of as many whole characters as `size` bytes hold."""
    raw = text.encode("gb18030", "replace")
    while len(raw) > size:
        text = text[:-1]
        raw = text.encode("gb18030", "replace")
    return raw


def time_of(raw: bytes) -> str | None:
    """ISO 8601 without a zone of second, minute, hour, day, month, year - 2000; None for what is no time."""
    second, minute, hour, day, month, year = raw
    try:
        return datetime(2000 + year, month, day, hour, minute, second).isoformat()  # noqa: DTZ001
    except ValueError:
        return None


def time_bytes(at: datetime) -> bytes:
    """The six bytes of a local time of the years 2000 to 2255."""
    return bytes((at.second, at.minute, at.hour, at.day, at.month, at.year - 2000))
