"""Payloads and metrics (Sparkplug B 3.0, 6.4). DataSet, Template and extensions are passed over. Pure."""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from firmware_bridges.sparkplug import wire
from tocsin.errors import CodecError, CodecReason

MAX_METRICS = 10_000
Raw = int | float | bool | str | bytes | None


class DataType(IntEnum):
    """Types of a metric (6.4.16) that have a plain value."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    BYTES = 17


_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_SHORT = {1, 2, 3, 5, 6, 7}  # in int_value; else long_value


class Metric(msgspec.Struct, frozen=True):
    """One metric. `raw` is as it was sent: a signed number is its two's complement; `value` reads it by a type."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    historical: bool = False
    null: bool = False
    raw: Raw = None
    unit: str | None = None  # property engUnit
    bad: bool = False  # property Quality is 0

    def value(self, datatype: int | None = None) -> Raw:
        """The value, by `datatype` where the metric does not tell its own."""
        kind = self.datatype or datatype
        if self.null:
            return None
        if isinstance(self.raw, int) and not isinstance(self.raw, bool):
            bits = _BITS.get(kind)  # type: ignore[call-overload]
            if bits is not None:
                low = self.raw & (1 << bits) - 1
                return int(low - (1 << bits) if low >> (bits - 1) else low)
        return self.raw


class Payload(msgspec.Struct, frozen=True):
    """One message. `seq` 0 to 255; NDEATH and commands have none."""

    metrics: tuple[Metric, ...]
    timestamp_ms: int | None = None
    seq: int | None = None


def decode(data: bytes) -> Payload:
    """Read a payload.

    Raises:
        CodecError: not a payload.
    """
    metrics: list[Metric] = []
    timestamp_ms = seq = None
    for number, kind, value in wire.fields(data):
        match number, kind, value:
            case 1, wire.VARINT, int():
                timestamp_ms = value
            case 2, wire.BYTES, bytes():
                if len(metrics) >= MAX_METRICS:
                    text = f"more than {MAX_METRICS} metrics"
                    raise CodecError(CodecReason.OVERSIZED, text)
                metrics.append(_metric(value))
            case 3, wire.VARINT, int():
                seq = value
            case ((1 | 2 | 3), _, _):
                raise CodecError(CodecReason.BAD_FIELD, f"field {number} has wire type {kind}")
    if seq is not None and seq > 255:
        raise CodecError(CodecReason.BAD_FIELD, f"seq is {seq}, at most 255")
    return Payload(tuple(metrics), timestamp_ms, seq)


def encode(payload: Payload) -> bytes:
    """The bytes of a payload."""
    out = b"" if payload.timestamp_ms is None else wire.varint(1, payload.timestamp_ms)
    out += b"".join(wire.block(2, _encode_metric(m)) for m in payload.metrics)
    return out if payload.seq is None else out + wire.varint(3, payload.seq)


def _metric(data: bytes) -> Metric:
    told: dict[str, object] = {}
    for number, kind, value in wire.fields(data):
        match number, kind, value:
            case 1, wire.BYTES, bytes():
                told["name"] = _text(value)
            case 2, wire.VARINT, int():
                told["alias"] = value
            case 3, wire.VARINT, int():
                told["timestamp_ms"] = value
            case 4, wire.VARINT, int():
                told["datatype"] = value
            case 5, wire.VARINT, int():
                told["historical"] = bool(value)
            case 7, wire.VARINT, int():
                told["null"] = bool(value)
            case 9, wire.BYTES, bytes():
                told |= _properties(value)
            case ((10 | 11), wire.VARINT, int()):
                told["raw"] = value
            case 12, wire.FIXED32, bytes():
                told["raw"] = struct.unpack("<f", value)[0]
            case 13, wire.FIXED64, bytes():
                told["raw"] = struct.unpack("<d", value)[0]
            case 14, wire.VARINT, int():
                told["raw"] = bool(value)
            case 15, wire.BYTES, bytes():
                told["raw"] = _text(value)
            case 16, wire.BYTES, bytes():
                told["raw"] = value
    return Metric(**told)  # type: ignore[arg-type]


def _properties(data: bytes) -> dict[str, object]:
    """What we know of a PropertySet: keys and values stand in two lists (6.4.9)."""
    keys = [_text(v) for n, _, v in wire.fields(data) if n == 1 and isinstance(v, bytes)]
    values = [v for n, _, v in wire.fields(data) if n == 2 and isinstance(v, bytes)]
    found: dict[str, object] = {}
    for key, value in zip(keys, values, strict=False):
        parts = {n: v for n, _, v in wire.fields(value)}
        if key == "Quality":
            found["bad"] = parts.get(3) == 0
        elif key == "engUnit" and isinstance(unit := parts.get(8), bytes):
            found["unit"] = _text(unit)
    return found


def _encode_metric(m: Metric) -> bytes:
    out = b""
    if m.name is not None:
        out += wire.block(1, m.name.encode())
    for number, told in ((2, m.alias), (3, m.timestamp_ms), (4, m.datatype)):
        if told is not None:
            out += wire.varint(number, told)
    if m.historical:
        out += wire.varint(5, 1)
    properties = _encode_properties(m)
    if m.null or m.raw is None:
        return out + wire.varint(7, 1) + properties
    return out + properties + _encode_value(m)


def _encode_properties(m: Metric) -> bytes:
    keys, values = b"", b""
    if m.unit is not None:
        keys += wire.block(1, b"engUnit")
        values += wire.block(2, wire.varint(1, DataType.STRING) + wire.block(8, m.unit.encode()))
    if m.bad:
        keys += wire.block(1, b"Quality")
        values += wire.block(2, wire.varint(1, DataType.INT32) + wire.varint(3, 0))
    return wire.block(9, keys + values) if keys else b""


def _encode_value(m: Metric) -> bytes:
    match m.raw:
        case bool():
            return wire.varint(14, m.raw)
        case int() if m.datatype in _SHORT:
            return wire.varint(10, m.raw & 0xFFFFFFFF)
        case int():
            return wire.varint(11, m.raw & (1 << 64) - 1)
        case float():
            return wire.double(13, m.raw)
        case str():
            return wire.block(15, m.raw.encode())
        case bytes():
            return wire.block(16, m.raw)
        case _:
            return b""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
