"""Frames out of a stream of bytes, in bounded memory. Nothing is escaped: a frame is found by its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from firmware_bridges.sl651.frames import START, Frame, decode_frame, frame_size
from tocsin.errors import CodecError, CodecReason

Item = tuple[Frame, bytes] | CodecError


class Splitter:
    """Feed bytes, take frames with their bytes, or why one was refused. After a refusal the search goes on one byte later.

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
        """Nothing came for a while: a beginning that waits for its end is refused, and what hides in it found."""
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
        try:
            size = frame_size(bytes(self._pending[:16]))
            if size is None or len(self._pending) < size:
                return None
            data = bytes(self._pending[:size])
            frame = decode_frame(data)
        except CodecError as error:
            self._drop(1)
            return error
        del self._pending[:size]
        return frame, data

    def _drop(self, count: int) -> None:
        self.counts["junk_bytes"] += count
        del self._pending[:count]
