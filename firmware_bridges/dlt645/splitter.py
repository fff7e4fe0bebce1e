"""Frames out of the bytes of a line, in bounded memory: found by both 68, the length and the sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from firmware_bridges.dlt645.frames import HEAD, START, TAIL, Frame, decode_frame
from tocsin.errors import CodecError


class Splitter:
    """Feed bytes, take frames, or why what looked like one was refused; the search then goes on one byte later.

    Bytes that are in no frame are counted as `junk_bytes`, wake-up bytes (FE) are not.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame | CodecError]:
        """What is complete with `data`."""
        self._pending += data
        while (item := self._next()) is not None:
            yield item

    def clear(self) -> int:
        """Forget what is left of an unfinished frame; how many bytes that were."""
        left = len(self._pending)
        self._drop(left)
        return left

    def _next(self) -> Frame | CodecError | None:
        while True:
            start = self._pending.find(START)
            self._drop(start if start >= 0 else len(self._pending))
            if len(self._pending) < HEAD:
                return None
            if self._pending[7] == START:
                break
            self._drop(1)
        size = HEAD + self._pending[HEAD - 1] + TAIL
        if len(self._pending) < size:
            return None
        try:
            frame = decode_frame(bytes(self._pending[:size]))
        except CodecError as error:
            self._drop(1)
            return error
        del self._pending[:size]
        return frame

    def _drop(self, count: int) -> None:
        self.counts["junk_bytes"] += count - self._pending[:count].count(0xFE)
        del self._pending[:count]
