"""Bodies a platform reads now and then: attributes, driver card, multimedia, transparent data (2019 edition, clause 8)."""

from __future__ import annotations

import struct
from typing import Any

from firmware_bridges.jt808.location import BASE_BYTES, bcd_time
from firmware_bridges.jt808.messages import text
from tocsin.errors import CodecError, CodecReason

Facts = dict[str, Any]


class _Reader:
    """Takes fields one after the other; a missing one is a CodecError."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise CodecError(
                CodecReason.TRUNCATED, f"the body ends inside a field at byte {self._at}"
            )
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size), "big")

    def counted(self) -> str:
        return text(self.take(self.number()))

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def attributes(data: bytes, versioned: bool) -> Facts:
    """0x0107: what the terminal is."""
    read = _Reader(data)
    widths = (5, 30, 30) if versioned else (5, 20, 7)
    return {
        "terminal_type": read.number(2),
        "manufacturer": text(read.take(widths[0])),
        "model": text(read.take(widths[1])),
        "terminal_id": text(read.take(widths[2])),
        "iccid": read.take(10).hex(),
        "hardware": read.counted(),
        "firmware": read.counted(),
        "gnss": read.number(),
        "modem": read.number(),
    }


def driver(data: bytes) -> Facts:
    """0x0702: the driver's card was put in (1) or taken out (2)."""
    read = _Reader(data)
    status = read.number()
    if status not in (1, 2):  # the edition of 2011 begins with the length of the name
        raise CodecError(CodecReason.BAD_FIELD, f"{status} is neither a card put in nor taken out")
    at = bcd_time(read.take(6))
    facts: Facts = {"card": status, "time": at.isoformat() if at else None}
    if status == 1 and read.left:
        facts["read_result"] = read.number()
        if facts["read_result"] == 0:
            facts["name"] = read.counted()
            facts["certificate"] = text(read.take(20))
            facts["authority"] = read.counted()
            facts["valid_until"] = read.take(4).hex()
            if read.left >= 20:
                facts["identity"] = text(read.take(20))
    return facts


def media_event(data: bytes) -> Facts:
    """0x0800."""
    read = _Reader(data)
    names = ("type", "format", "event", "channel")
    return {"media_id": read.number(4)} | {name: read.number() for name in names}


def media(data: bytes) -> Facts:
    """0x0801: eight bytes, a position, the file."""
    facts = media_event(data)
    if len(data) < 8 + BASE_BYTES:
        raise CodecError(CodecReason.TRUNCATED, "multimedia data without its position")
    return facts | {"size": len(data) - 8 - BASE_BYTES}


def transparent(data: bytes) -> Facts:
    """0x0900 and 0x8900: a type and what only the maker knows."""
    read = _Reader(data)
    return {"type": f"0x{read.number():02X}", "hex": read.take(read.left).hex()}


def counted_list(data: bytes, size: int) -> list[str]:
    """A count byte and so many ids of `size` bytes (0x8106)."""
    if not data or len(data) < 1 + data[0] * size:
        raise CodecError(CodecReason.TRUNCATED, "the list of ids is cut off")
    return [f"0x{data[1 + i * size : 1 + (i + 1) * size].hex().upper()}" for i in range(data[0])]


def track(data: bytes) -> Facts:
    """0x8202: report every `interval_s` for `valid_s`; interval 0 ends it and has no second field."""
    if len(data) < 2:
        raise CodecError(CodecReason.TRUNCATED, "a tracking order has at least 2 bytes")
    interval = int.from_bytes(data[:2], "big")
    valid = struct.unpack_from(">I", data, 2)[0] if len(data) >= 6 else 0
    return {"interval_s": interval, "valid_s": valid}


def encode_track(interval_s: int, valid_s: int) -> bytes:
    """0x8202."""
    return struct.pack(">H", 0) if interval_s == 0 else struct.pack(">HI", interval_s, valid_s)
