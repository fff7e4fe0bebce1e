"""Frames of HJ 212-2017, 6.3: ## + length of the segment + segment + CRC + CR LF. Pure."""

from __future__ import annotations

import msgspec

from firmware_bridges.modbus.crc import TABLE
from firmware_bridges.modbus.crc import crc16 as crc16_modbus
from tocsin.errors import CodecError, CodecReason

MAX_SEGMENT = 9999  # the length field has four digits
MARK = b"##"
_HEX = frozenset(b"0123456789abcdefABCDEF")
HEAD = 6  # with the length


class Frame(msgspec.Struct, frozen=True):
    """One frame whose length fits. `crc` as it was sent; `crc_ok` is false for a variant that was let through."""

    segment: bytes
    crc: str
    crc_ok: bool


def crc(segment: bytes) -> int:
    """HJ 212-2017, annex A. Not CRC-16/MODBUS: each byte meets the upper half of the register, shifted down."""
    value = 0xFFFF
    for byte in segment:
        value = TABLE[(value >> 8) ^ byte]
    return value


def decode_frame(data: bytes, *, any_crc: bool = False) -> Frame:
    """The one frame that `data` is; with `any_crc` whatever its CRC.

    Raises:
        CodecError: no frame, a wrong length, or a wrong CRC.
    """
    if data[:2] != MARK:
        raise CodecError(CodecReason.FRAMING, "a frame begins with ##", offset=0)
    if len(data) < HEAD:
        raise CodecError(CodecReason.TRUNCATED, "the length is not whole", offset=len(data))
    if not data[2:HEAD].isdigit():
        raise CodecError(CodecReason.LENGTH, "the length is not four digits", offset=2)
    length = int(data[2:HEAD])
    end = HEAD + length
    told = data[end : end + 4]
    if len(told) < 4:
        text = f"length is {length}, {max(0, len(data) - HEAD)} bytes follow"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    if data[end + 4 :].strip(b"\r\n") or not _HEX.issuperset(told):
        text = f"length is {length}, the segment ends elsewhere"
        raise CodecError(CodecReason.LENGTH, text, offset=2)
    segment, counted = data[HEAD:end], crc(data[HEAD:end])
    good = told.upper() == b"%04X" % counted
    if not good and not any_crc:
        also = ", which is CRC-16/MODBUS" if told.upper() == b"%04X" % crc16_modbus(segment) else ""
        text = f"CRC is {told.decode()}{also}, counted {counted:04X}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=end)
    return Frame(segment, told.decode("ascii"), good)


def encode_frame(segment: bytes, *, modbus: bool = False) -> bytes:
    """The bytes of a frame around `segment` (at most 9999 bytes); with `modbus` a vendor's variant of the CRC."""
    if len(segment) > MAX_SEGMENT:
        raise CodecError(CodecReason.OVERSIZED, f"{len(segment)} bytes, at most {MAX_SEGMENT}")
    return b"##%04d%s%04X\r\n" % (len(segment), segment, (crc16_modbus if modbus else crc)(segment))
