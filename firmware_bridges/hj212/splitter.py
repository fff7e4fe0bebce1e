"""Frames of HJ 212 out of a stream of bytes: found by `##` and their length."""

from __future__ import annotations

from typing import ClassVar

from firmware_bridges.hj212.frames import HEAD, MARK, Frame, decode_frame
from firmware_bridges.marked import MarkedSplitter
from tocsin.errors import CodecError, CodecReason

Item = tuple[Frame, bytes] | CodecError
_CRC = 4


class Splitter(MarkedSplitter[tuple[Frame, bytes]]):
    """Frames with their bytes, or why one was refused. Wrong CRCs pass: `crc_ok` says so. Line ends between frames are no junk."""

    MARK: ClassVar[bytes] = MARK
    BETWEEN: ClassVar[bytes] = b"\r\n"

    def size(self, head: bytes) -> int | None:
        digits = head[len(MARK) : HEAD]
        if len(head) < HEAD:
            return None
        if not digits.isdigit():
            raise CodecError(CodecReason.LENGTH, "the length is not four digits", offset=2)
        return HEAD + int(digits) + _CRC

    def frame(self, data: bytes) -> tuple[Frame, bytes]:
        return decode_frame(data, any_crc=True), data
