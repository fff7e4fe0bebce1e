"""Frames of GB/T 26875.3-2011, 6.3: @@ + control unit + application data + sum + ##, little-endian. Pure."""

from __future__ import annotations

import struct

import msgspec

from tocsin.errors import CodecError, CodecReason

START, END = b"@@", b"##"
MAX_APP = 1024
_CONTROL = struct.Struct("<HBB6s6s6sHB")
_HEAD = 2 + _CONTROL.size
_TAIL = 3

COMMANDS = {
    1: "control",
    2: "send data",
    3: "confirm",
    4: "request",
    5: "respond",
    6: "deny",
}


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
    if len(data) < _HEAD + _TAIL:
        text = f"{len(data)} bytes, at least {_HEAD + _TAIL}"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    serial, major, minor, time, source, destination, length, command = _CONTROL.unpack_from(data, 2)
    if length > MAX_APP:
        text = f"length is {length}, at most {MAX_APP}"
        raise CodecError(CodecReason.OVERSIZED, text, offset=_HEAD - 3)
    end = _HEAD + length + _TAIL
    if len(data) < end:
        text = f"length is {length}, {len(data) - _HEAD - _TAIL} bytes follow"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    if len(data) > end or data[end - 2 :] != END:
        text = f"length is {length}, the frame does not end with 23 23 there"
        raise CodecError(CodecReason.LENGTH, text, offset=_HEAD - 3)
    told, counted = data[end - 3], sum(data[2 : end - 3]) & 0xFF
    if told != counted:
        text = f"sum is {told:02X}, counted {counted:02X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=end - 3)
    app = data[_HEAD : end - _TAIL]
    return Frame(serial, (major, minor), time, source, destination, command, app)


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
