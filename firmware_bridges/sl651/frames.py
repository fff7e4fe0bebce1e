"""HEX/BCD frames of SL 651-2014, 6.3: found by their length, for nothing is escaped. Pure."""

from __future__ import annotations

import msgspec

from firmware_bridges.modbus.crc import crc16
from tocsin.errors import CodecError, CodecReason

START = b"\x7e\x7e"
SOH, STX, SYN = 0x01, 0x02, 0x16  # what begins a body
ETX, ETB = 0x03, 0x17  # ends a station's: no more, more to come
ENQ, ACK, NAK, EOT, ESC = 0x05, 0x06, 0x15, 0x04, 0x1B  # ends a centre's
_HEAD = 14  # up to and including STX
_PARTS = 3
_TAIL = 3  # end byte and CRC


class Frame(msgspec.Struct, frozen=True):
    """One frame. `station` and `centre` as hex, `start` and `end` the control bytes around the body.

    `part` and `parts` are set in a frame of several (SYN).
    """

    up: bool
    centre: str
    station: str
    password: bytes
    function: int
    start: int
    end: int
    body: bytes
    part: int | None = None
    parts: int | None = None
    trailing: int = 0


def frame_size(data: bytes) -> int | None:
    """Bytes of the frame that begins `data`; None while undecided.

    Raises:
        CodecError: no frame begins here, or it is the ASCII form.
    """
    if data[:1] == bytes((SOH,)):
        raise CodecError(CodecReason.UNSUPPORTED, "the ASCII form is not read", offset=0)
    if not START.startswith(data[:2]):
        raise CodecError(CodecReason.FRAMING, "a frame begins with 7E 7E", offset=0)
    if len(data) < _HEAD:
        return None
    if data[13] == SOH:
        raise CodecError(CodecReason.UNSUPPORTED, "the ASCII form is not read", offset=13)
    if data[13] not in (STX, SYN):
        text = f"{data[13]:02X} where 02 or 16 stands"
        raise CodecError(CodecReason.FRAMING, text, offset=13)
    # the length counts what stands between STX or SYN and the end byte, the part numbers included
    return _HEAD + (int.from_bytes(data[11:13], "big") & 0xFFF) + _TAIL


def decode_frame(data: bytes) -> Frame:
    """The frame that begins `data`; what follows it is counted in `trailing`.

    Raises:
        CodecError: no frame, not whole, or a wrong CRC.
    """
    size = frame_size(data)
    if size is None or len(data) < size:
        text = f"{len(data)} bytes, the frame has {size or 'more'}"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    told, counted = int.from_bytes(data[size - 2 : size], "big"), crc16(data[: size - 2])
    if told != counted:
        text = f"CRC is {told:04x}, counted {counted:04x}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=size - 2)
    up = not data[11] & 0x80
    centre, station = (data[2:3], data[3:8]) if up else (data[7:8], data[2:7])
    start, body = data[13], data[_HEAD : size - _TAIL]
    part = parts = None
    if start == SYN:
        if len(body) < _PARTS:
            raise CodecError(CodecReason.LENGTH, "no room for the part numbers", offset=11)
        numbers = int.from_bytes(body[:_PARTS], "big")
        parts, part, body = numbers >> 12, numbers & 0xFFF, body[_PARTS:]
    return Frame(
        up,
        centre.hex(),
        station.hex(),
        data[8:10],
        data[10],
        start,
        data[size - 3],
        body,
        part,
        parts,
        len(data) - size,
    )


def encode_frame(frame: Frame) -> bytes:
    """The bytes on the line.

    Raises:
        CodecError: a body that no length field holds.
    """
    body = frame.body
    if frame.start == SYN:
        numbers = (frame.parts or 1) << 12 | (frame.part or 1)
        body = numbers.to_bytes(_PARTS, "big") + body
    if len(body) > 0xFFF:
        raise CodecError(CodecReason.OVERSIZED, f"{len(body)} bytes, at most 4095")
    centre, station = bytes.fromhex(frame.centre), bytes.fromhex(frame.station)
    length = len(body) | (0 if frame.up else 0x8000)
    head = START + (centre + station if frame.up else station + centre) + frame.password
    rest = bytes((frame.function,)) + length.to_bytes(2, "big") + bytes((frame.start,))
    whole = head + rest + body + bytes((frame.end,))
    return whole + crc16(whole).to_bytes(2, "big")
