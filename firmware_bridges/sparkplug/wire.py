"""The few parts of Protocol Buffers that a Sparkplug payload is made of (protobuf.dev, Encoding). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tocsin.errors import CodecError, CodecReason

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field = tuple[int, int, int | bytes]  # number, wire type, value; fixed ones as bytes


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message in their order.

    Raises:
        CodecError: cut short, or no message.
    """
    at = 0
    while at < len(data):
        began = at
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise CodecError(CodecReason.FRAMING, "a field has no number", offset=began)
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise CodecError(CodecReason.FRAMING, f"wire type {kind}", offset=began)
        if size > len(data) - at:
            raise CodecError(CodecReason.TRUNCATED, "a field is cut short", offset=began)
        yield number, kind, data[at : at + size]
        at += size


def varint(number: int, value: int) -> bytes:
    """A field of a whole number from 0 to 2^64 - 1."""
    return _number(number << 3 | VARINT) + _number(value)


def block(number: int, value: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return _number(number << 3 | BYTES) + _number(len(value)) + value


def double(number: int, value: float) -> bytes:
    """A field of a double."""
    return _number(number << 3 | FIXED64) + struct.pack("<d", value)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(10):
        if at + n >= len(data):
            raise CodecError(CodecReason.TRUNCATED, "a number is cut short", offset=at)
        byte = data[at + n]
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value & (1 << 64) - 1, at + n + 1
    raise CodecError(CodecReason.FRAMING, "a number of more than 64 bits", offset=at)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
