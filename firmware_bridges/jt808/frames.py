"""Frames of JT/T 808: flag, escape, header, check byte (2019 edition, clause 4.4).

`7E` escaped(header + body + XOR of both) `7E`; `7D 02` stands for 7E and `7D 01` for 7D. Bit 14 of the attributes
tells a 2019 header (a version byte and ten bytes of phone) from an older one (six bytes of phone).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import reduce
from operator import xor

import msgspec

from tocsin.errors import CodecError, CodecReason

FLAG = 0x7E
MAX_BODY_BYTES = 1023
_ESCAPE = 0x7D
_LENGTH_MASK, _PARTED, _VERSIONED = 0x03FF, 0x2000, 0x4000
_PARTS = struct.Struct(">HH")


class Header(msgspec.Struct, frozen=True):
    """What precedes a body. `phone` is the BCD as hex digits: real terminals put any nibble there.

    `version` is the 2019 header's version byte, None in an older header. Of a message split into parts, `total` is
    their number and `index` counts them from 1; both as they came.
    """

    msg_id: int
    phone: str
    serial: int
    version: int | None = None
    encryption: int = 0
    parted: bool = False
    total: int = 0
    index: int = 0


class Frame(msgspec.Struct, frozen=True):
    """One frame whose length and check byte are right."""

    header: Header
    body: bytes
    check: int


def check_byte(data: bytes) -> int:
    """XOR of all bytes, taken before escaping."""
    return reduce(xor, data, 0)


def escape(data: bytes) -> bytes:
    """`data` without flags in it."""
    return data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")


def unescape(data: bytes) -> bytes:
    """Undo `escape`. A 7D before any other byte is kept as it is: terminals exist that do not escape it."""
    if _ESCAPE not in data:
        return data
    out, at = bytearray(), 0
    while (found := data.find(_ESCAPE, at)) >= 0:
        out += data[at:found]
        follower = data[found + 1 : found + 2]
        if follower in (b"\x01", b"\x02"):
            out.append(_ESCAPE if follower == b"\x01" else FLAG)
            at = found + 2
        else:
            out.append(_ESCAPE)
            at = found + 1
    return bytes(out + data[at:])


def decode_frame(data: bytes) -> Frame:
    """One frame, flags included.

    Raises:
        CodecError: framing, truncated, checksum, length.
    """
    if len(data) < 2 or data[0] != FLAG or data[-1] != FLAG:
        raise CodecError(CodecReason.FRAMING, "a frame begins and ends with 7E", offset=0)
    inner = unescape(data[1:-1])
    if len(inner) < 13:
        raise CodecError(
            CodecReason.TRUNCATED, f"{len(inner)} bytes between the flags, a frame has at least 13"
        )
    content, check = inner[:-1], inner[-1]
    if (right := check_byte(content)) != check:
        raise CodecError(
            CodecReason.CHECKSUM,
            f"check byte 0x{check:02X}, the bytes give 0x{right:02X}",
            offset=len(data) - 2,
        )
    header, size, declared = _decode_header(content)
    body = content[size:]
    if declared != len(body):
        raise CodecError(
            CodecReason.LENGTH,
            f"declared {declared} bytes of body, {len(body)} are there",
            offset=3,
        )
    return Frame(header, body, check)


def _decode_header(content: bytes) -> tuple[Header, int, int]:
    """Header, its size and the declared length of the body."""
    msg_id, attributes = _PARTS.unpack_from(content)
    versioned = bool(attributes & _VERSIONED)
    phone_at, phone_size = (5, 10) if versioned else (4, 6)
    size = phone_at + phone_size + 2
    parted = bool(attributes & _PARTED)
    whole = size + (4 if parted else 0)
    if len(content) < whole:
        raise CodecError(
            CodecReason.TRUNCATED, f"the header has {whole} bytes, {len(content)} are there"
        )
    total, index = _PARTS.unpack_from(content, size) if parted else (0, 0)
    header = Header(
        msg_id=msg_id,
        phone=content[phone_at : phone_at + phone_size].hex(),
        serial=int.from_bytes(content[size - 2 : size], "big"),
        version=content[4] if versioned else None,
        encryption=attributes >> 10 & 7,
        parted=parted,
        total=total,
        index=index,
    )
    return header, whole, attributes & _LENGTH_MASK


def encode_frame(header: Header, body: bytes = b"") -> bytes:
    """One frame, flags included.

    Raises:
        CodecError: oversized (use `encode_parts`), or a phone that is not hex digits.
    """
    if len(body) > MAX_BODY_BYTES:
        raise CodecError(CodecReason.OVERSIZED, f"a body of {len(body)} bytes needs parts")
    attributes = len(body) | header.encryption << 10
    attributes |= (_PARTED if header.parted else 0) | (
        _VERSIONED if header.version is not None else 0
    )
    content = struct.pack(">HH", header.msg_id, attributes)
    if header.version is not None:
        content += bytes((header.version,))
    content += phone_bytes(header.phone, header.version) + struct.pack(">H", header.serial & 0xFFFF)
    if header.parted:
        content += _PARTS.pack(header.total, header.index)
    content += body
    return b"\x7e" + escape(content + bytes((check_byte(content),))) + b"\x7e"


def encode_parts(
    header: Header, body: bytes, part_bytes: int = MAX_BODY_BYTES
) -> Iterator[tuple[Header, bytes]]:
    """Headers and frames of one message: one frame if it fits, else its parts with serials in sequence."""
    if len(body) <= part_bytes:
        yield header, encode_frame(header, body)
        return
    total = -(-len(body) // part_bytes)
    for number in range(total):
        part = msgspec.structs.replace(
            header,
            serial=(header.serial + number) & 0xFFFF,
            parted=True,
            total=total,
            index=number + 1,
        )
        yield part, encode_frame(part, body[number * part_bytes : (number + 1) * part_bytes])


def phone_bytes(phone: str, version: int | None) -> bytes:
    """`phone` as the header carries it, filled up with zeroes in front."""
    size = 6 if version is None else 10
    try:
        return bytes.fromhex(phone.zfill(size * 2)[-size * 2 :])
    except ValueError as exc:
        raise CodecError(CodecReason.BAD_INPUT, f"phone {phone!r} is not hex digits") from exc
