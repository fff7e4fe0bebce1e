"""Frames of DL/T 645-2007, 5.2: 68 address 68 control length data sum 16, data carried +33H. Pure."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from tocsin.errors import CodecError, CodecReason

PREAMBLE, START, END = 0xFE, 0x68, 0x16
MAX_DATA = 200
HEAD, TAIL = 10, 2


class Function(IntEnum):
    """D4 to D0 of the control byte: 2007, 7.1, and what 1997 has for reading and writing."""

    READ_1997 = 0x01
    READ_MORE_1997 = 0x02
    WRITE_1997 = 0x04
    SET_TIME = 0x08
    SECURITY = 0x03
    READ = 0x11
    READ_MORE = 0x12
    READ_ADDRESS = 0x13
    WRITE = 0x14
    WRITE_ADDRESS = 0x15
    FREEZE = 0x16
    SET_SPEED = 0x17
    SET_PASSWORD = 0x18
    CLEAR_DEMAND = 0x19
    CLEAR_METER = 0x1A
    CLEAR_EVENTS = 0x1B
    CONTROL = 0x1C


FUNCTIONS: dict[int, str] = {f.value: f.name.lower() for f in Function}
# Bits of the error byte: 2007, annex B; 1997, table 5.
ERRORS = {
    0: "other",
    1: "no_such_data",
    2: "password_or_permission",
    3: "speed_cannot_change",
    4: "too_many_year_zones",
    5: "too_many_day_slots",
    6: "too_many_tariffs",
}
ERRORS_1997 = {
    0: "illegal_data",
    1: "identifier",
    2: "password",
    4: "too_many_year_zones",
    5: "too_many_day_slots",
    6: "too_many_tariffs",
}


class Frame(msgspec.Struct, frozen=True):
    """One frame. `address` is twelve digits as printed on the meter, high digit first (a wildcard has `a`);
    `data` has the 33H taken off, in the order of the line."""

    address: str
    control: int
    data: bytes
    preamble: int = 0

    @property
    def from_slave(self) -> bool:
        """Whether a meter sent it (D7)."""
        return bool(self.control & 0x80)

    @property
    def function(self) -> int:
        """What it asks or answers (D4 to D0)."""
        return self.control & 0x1F

    @property
    def more(self) -> bool:
        """Whether the meter has more data for this (D5)."""
        return bool(self.control & 0x20)

    @property
    def refused(self) -> bool:
        """Whether it is a meter's refusal (D6)."""
        return bool(self.control & 0x40)


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is, preamble bytes allowed before it.

    Raises:
        CodecError: no frame, a wrong length, or a wrong sum.
    """
    bare = data.lstrip(b"\xfe")
    skipped = len(data) - len(bare)
    if bare[:1] != b"\x68" or (len(bare) > 7 and bare[7] != START):
        raise CodecError(CodecReason.FRAMING, "no 68 where a frame has it", offset=skipped)
    if len(bare) < HEAD + TAIL:
        raise CodecError(CodecReason.TRUNCATED, f"{len(bare)} bytes, at least 12", offset=len(data))
    length = bare[9]
    end = HEAD + length + TAIL
    if len(bare) < end:
        text = f"length is {length}, {len(bare) - HEAD} bytes follow"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    if len(bare) > end or bare[end - 1] != END:
        text = f"length is {length}, the frame does not end with 16 there"
        raise CodecError(CodecReason.LENGTH, text, offset=skipped + 9)
    told, counted = bare[end - 2], sum(bare[: end - 2]) & 0xFF
    if told != counted:
        text = f"sum is {told:02X}, counted {counted:02X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=skipped + end - 2)
    body = bytes((byte - 0x33) & 0xFF for byte in bare[HEAD : end - 2])
    return Frame(bare[1:7][::-1].hex(), bare[8], body, skipped)


def encode_frame(frame: Frame) -> bytes:
    """The bytes on the line.

    Raises:
        CodecError: more data than a frame holds.
    """
    if len(frame.data) > MAX_DATA:
        raise CodecError(CodecReason.OVERSIZED, f"{len(frame.data)} bytes, at most {MAX_DATA}")
    head = bytes((START, *bytes.fromhex(frame.address)[::-1], START, frame.control))
    body = head + bytes((len(frame.data), *((byte + 0x33) & 0xFF for byte in frame.data)))
    return bytes((PREAMBLE,)) * frame.preamble + body + bytes((sum(body) & 0xFF, END))
