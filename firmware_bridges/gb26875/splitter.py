"""Frames out of a stream of bytes, in bounded memory. Nothing is escaped: a frame is found by its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from firmware_bridges.gb26875.frames import (
    HEAD,
    START,
    Frame,
    decode_frame,
    frame_size,
    unchecked,
)
from tocsin.errors import CodecError, CodecReason


class Spoilt(msgspec.Struct, frozen=True):
    """A frame from its beginning to its end whose sum is wrong: it can be denied, and no more."""

    frame: Frame
    error: CodecError


Item = Frame | Spoilt | CodecError


class Splitter:
    """Feed bytes, take frames, or why one was refused. After a refusal the search goes on one byte later.

    Bytes that are in no frame are counted as `junk_bytes`.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._pending = bytearray()

    @property
    def pending(self) -> bool:
        """Whether the beginning of a frame waits for its end."""
        return bool(self._pending)

    def feed(self, data: bytes) -> Iterator[Item]:
        """What is complete with `data`."""
        self._pending += data
        while (item := self._next()) is not None:
            yield item

    def silence(self) -> Iterator[Item]:
        """Nothing came for a while: the beginning of a frame that waits for its end is refused, and what hides in it found."""
        while self._pending:
            if (item := self._next()) is not None:
                yield item
            elif self._pending:
                yield CodecError(CodecReason.TRUNCATED, f"{len(self._pending)} bytes of a frame")
                self._drop(1)

    def _next(self) -> Item | None:
        start = self._pending.find(START)
        if start < 0:
            self._drop(len(self._pending) - self._pending.endswith(START[:1]))
            return None
        self._drop(start)
        if len(self._pending) < HEAD:
            return None
        try:
            size = frame_size(self._pending[:HEAD])
            if len(self._pending) < size:
                return None
            frame = decode_frame(bytes(self._pending[:size]))
        except CodecError as error:
            spoilt = error.reason is CodecReason.CHECKSUM
            item = Spoilt(unchecked(bytes(self._pending[:size])), error) if spoilt else error
            self._drop(1)
            return item
        del self._pending[:size]
        return frame

    def _drop(self, count: int) -> None:
        self.counts["junk_bytes"] += count
        del self._pending[:count]
