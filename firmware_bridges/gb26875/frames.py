"""Frames of GB/T 26875.3-2011, 6.3: @@ + control unit + application data + sum + ##, little-endian. Pure."""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from tocsin.errors import CodecError, CodecReason

START, END = b"@@", b"##"
MAX_APP = 1024
_CONTROL = struct.Struct("<HBB6s6s6sHB")
HEAD = 2 + _CONTROL.size
TAIL = 3


class Command(IntEnum):
    """6.3.2: what a frame is for."""

    CONTROL = 1
    DATA = 2
    CONFIRM = 3
    REQUEST = 4
    RESPOND = 5
    DENY = 6


COMMANDS: dict[int, str] = {c.value: c.name.lower() for c in Command} | {2: "send data"}


class Frame(msgspec.Struct, frozen=True):
    """One frame. `time` is the six bytes as sent; addresses are in the order of the line."""

    serial: int
    version: tuple[int, int]
    time: bytes
    source: bytes
    destination: bytes
    command: int
    app: bytes = b""


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is.

    Raises:
        CodecError: no frame, a wrong length, or a wrong sum.
    """
    if data[:2] != START:
        raise CodecError(CodecReason.FRAMING, "a frame begins with 40 40", offset=0)
    if len(data) < HEAD + TAIL:
        text = f"{len(data)} bytes, at least {HEAD + TAIL}"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    end = frame_size(data)
    length = end - HEAD - TAIL
    if len(data) < end:
        text = f"length is {length}, {len(data) - HEAD - TAIL} bytes follow"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    if len(data) > end or data[end - 2 :] != END:
        text = f"length is {length}, the frame does not end with 23 23 there"
        raise CodecError(CodecReason.LENGTH, text, offset=HEAD - 3)
    told, counted = data[end - 3], sum(data[2 : end - 3]) & 0xFF
    if told != counted:
        text = f"sum is {told:02X}, counted {counted:02X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=end - 3)
    return unchecked(data[:end])


def unchecked(data: bytes) -> Frame:
    """What a frame of the right length says, whatever its sum: enough to deny it."""
    serial, major, minor, time, source, destination, _, command = _CONTROL.unpack_from(data, 2)
    return Frame(serial, (major, minor), time, source, destination, command, data[HEAD:-TAIL])


def frame_size(data: bytes | bytearray) -> int:
    """Bytes of the frame that `data` begins with; at least its first `HEAD` bytes must be there.

    Raises:
        CodecError: longer than any frame.
    """
    length = int.from_bytes(data[HEAD - 3 : HEAD - 1], "little")
    if length > MAX_APP:
        text = f"length is {length}, at most {MAX_APP}"
        raise CodecError(CodecReason.OVERSIZED, text, offset=HEAD - 3)
    return HEAD + length + TAIL


def encode_frame(frame: Frame) -> bytes:
    """The bytes on the connection.

    Raises:
        CodecError: more application data than a frame holds.
    """
    if len(frame.app) > MAX_APP:
        raise CodecError(CodecReason.OVERSIZED, f"{len(frame.app)} bytes, at most {MAX_APP}")
    head = _CONTROL.pack(
        frame.serial,
        *frame.version,
        frame.time,
        frame.source,
        frame.destination,
        len(frame.app),
        frame.command,
    )
    body = head + frame.app
    return START + body + bytes((sum(body) & 0xFF,)) + END
