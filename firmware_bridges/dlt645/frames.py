"""Frames of DL/T 645-2007, 5.2: 68 address 68 control length data sum 16, data carried +33H. Pure."""

from __future__ import annotations

import msgspec

from tocsin.errors import CodecError, CodecReason

PREAMBLE, START, END = 0xFE, 0x68, 0x16
MAX_DATA = 200
MAX_PREAMBLE = 16
_HEAD = 10


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
    if len(bare) < _HEAD + 2:
        raise CodecError(CodecReason.TRUNCATED, f"{len(bare)} bytes, at least 12", offset=len(data))
    length = bare[9]
    end = _HEAD + length + 2
    if len(bare) < end:
        text = f"length is {length}, {len(bare) - _HEAD} bytes follow"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    if len(bare) > end or bare[end - 1] != END:
        text = f"length is {length}, the frame does not end with 16 there"
        raise CodecError(CodecReason.LENGTH, text, offset=skipped + 9)
    told, counted = bare[end - 2], sum(bare[: end - 2]) & 0xFF
    if told != counted:
        text = f"sum is {told:02X}, counted {counted:02X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=skipped + end - 2)
    body = bytes((byte - 0x33) & 0xFF for byte in bare[_HEAD : end - 2])
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
