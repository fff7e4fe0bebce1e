"""Frames of GB/T 26875.3 out of a stream of bytes. Nothing is escaped: a frame is found by its length."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from firmware_bridges.gb26875.frames import (
    HEAD,
    START,
    Frame,
    decode_frame,
    frame_size,
    unchecked,
)
from firmware_bridges.marked import MarkedSplitter
from tocsin.errors import CodecError, CodecReason


class Spoilt(msgspec.Struct, frozen=True):
    """A frame from its beginning to its end whose sum is wrong: it can be denied, and no more."""

    frame: Frame
    error: CodecError


Item = Frame | Spoilt | CodecError


class Splitter(MarkedSplitter[Frame | Spoilt]):
    """Frames, or why one was refused."""

    MARK: ClassVar[bytes] = START

    def size(self, head: bytes) -> int | None:
        return frame_size(head[:HEAD]) if len(head) >= HEAD else None

    def frame(self, data: bytes) -> Frame | Spoilt:
        return decode_frame(data)

    def refused(self, data: bytes, error: CodecError) -> Item:
        spoilt = error.reason is CodecReason.CHECKSUM
        return Spoilt(unchecked(data), error) if spoilt else error
