"""Frames of SL 651 out of a stream of bytes. Nothing is escaped: a frame is found by its length."""

from __future__ import annotations

from typing import ClassVar

from firmware_bridges.marked import MarkedSplitter
from firmware_bridges.sl651.frames import START, Frame, decode_frame, frame_size
from tocsin.errors import CodecError

Item = tuple[Frame, bytes] | CodecError


class Splitter(MarkedSplitter[tuple[Frame, bytes]]):
    """Frames with their bytes, or why one was refused."""

    MARK: ClassVar[bytes] = START

    def size(self, head: bytes) -> int | None:
        return frame_size(head[:16])

    def frame(self, data: bytes) -> tuple[Frame, bytes]:
        return decode_frame(data), data
