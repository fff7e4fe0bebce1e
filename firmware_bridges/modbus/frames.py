"""Frames: RTU (unit, PDU, CRC) and TCP (MBAP header: transaction, protocol 0, length, unit; PDU)."""

from __future__ import annotations

import struct

import msgspec

from firmware_bridges.modbus.crc import crc16, with_crc
from firmware_bridges.modbus.pdu import request_size
from tocsin.errors import DriverReason, FrameError

MAX_RTU = 256
MAX_PDU = 253
MBAP_SIZE = 7


class RtuFrame(msgspec.Struct, frozen=True):
    """One frame of a serial line."""

    unit: int
    pdu: bytes


class TcpFrame(msgspec.Struct, frozen=True):
    """One frame of a TCP connection."""

    transaction: int
    unit: int
    pdu: bytes


def encode_rtu(frame: RtuFrame) -> bytes:
    """Bytes on the line, checksum included."""
    return with_crc(bytes((frame.unit,)) + frame.pdu)


def decode_rtu(data: bytes) -> RtuFrame:
    """The one frame that `data` is.

    Raises:
        FrameError: too short, too long, or a wrong checksum.
    """
    if not 4 <= len(data) <= MAX_RTU:
        raise FrameError(
            DriverReason.HALF_FRAME, f"an RTU frame has 4 to 256 bytes, not {len(data)}"
        )
    if crc16(data[:-2]) != int.from_bytes(data[-2:], "little"):
        raise FrameError(DriverReason.GARBAGE, f"wrong checksum: {data[:16].hex(' ')}")
    return RtuFrame(data[0], data[1:-2])


def encode_tcp(frame: TcpFrame) -> bytes:
    """Bytes on the connection."""
    return struct.pack(">HHHB", frame.transaction, 0, len(frame.pdu) + 1, frame.unit) + frame.pdu


def decode_tcp(data: bytes) -> TcpFrame:
    """The one frame that `data` is.

    Raises:
        FrameError: a wrong header or length.
    """
    size = tcp_size(data)
    if size is None or len(data) < size:
        raise FrameError(DriverReason.HALF_FRAME, f"the frame ends after {len(data)} bytes")
    if len(data) != size:
        raise FrameError(DriverReason.GARBAGE, f"{len(data) - size} bytes follow the frame")
    return TcpFrame(int.from_bytes(data[:2], "big"), data[6], data[7:])


def tcp_size(data: bytes) -> int | None:
    """Bytes of the frame at the start of `data`; None while undecided.

    Raises:
        FrameError: this cannot become a Modbus/TCP frame; the stream has lost its step.
    """
    if len(data) < 6:
        return None
    _, protocol, length = struct.unpack_from(">HHH", data)
    if protocol != 0 or not 2 <= length <= MAX_PDU + 1:
        raise FrameError(DriverReason.GARBAGE, f"not an MBAP header: {data[:8].hex(' ')}")
    return int(length) + 6


class RtuRequests:
    """Finds requests in the bytes a device hears; silence between frames is not relied upon."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.skipped = 0

    def feed(self, data: bytes) -> list[RtuFrame]:
        """Every whole request heard so far; bytes that cannot start one are skipped and counted."""
        buffer = self._buffer
        buffer += data
        found: list[RtuFrame] = []
        while len(buffer) >= 2:
            size = request_size(bytes(buffer[1:]))
            if size is None:
                break
            end = size + 3
            if size and len(buffer) < end <= MAX_RTU:
                break
            if size and end <= MAX_RTU and crc16(bytes(buffer[:end])) == 0:
                found.append(RtuFrame(buffer[0], bytes(buffer[1 : end - 2])))
                del buffer[:end]
                continue
            del buffer[0]
            self.skipped += 1
        return found

    def silence(self) -> None:
        """The line was silent for longer than a frame may pause: a half request is given up."""
        self.skipped += len(self._buffer)
        self._buffer.clear()


class TcpRequests:
    """Finds requests in the bytes of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[TcpFrame]:
        """Every whole request received so far.

        Raises:
            FrameError: the stream has lost its step; close the connection.
        """
        self._buffer += data
        found: list[TcpFrame] = []
        while (size := tcp_size(bytes(self._buffer))) is not None and len(self._buffer) >= size:
            found.append(decode_tcp(bytes(self._buffer[:size])))
            del self._buffer[:size]
        return found
