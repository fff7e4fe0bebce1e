"""Frames out of a stream of bytes, in bounded memory: found by `##` and their length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from firmware_bridges.hj212.frames import HEAD, MARK, Frame, decode_frame
from tocsin.errors import CodecError, CodecReason

Item = tuple[Frame, bytes] | CodecError
_CRC = 4


class Splitter:
    """Feed bytes, take frames with their bytes, or why one was refused. Wrong CRCs pass: `crc_ok` says so.

    Bytes that are in no frame are counted as `junk_bytes`; line ends between frames are none.
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
        start = self._pending.find(MARK)
        if start < 0:
            self._drop(len(self._pending) - self._pending.endswith(MARK[:1]))
            return None
        self._drop(start)
        if len(self._pending) < HEAD:
            return None
        digits = bytes(self._pending[len(MARK) : HEAD])
        if not digits.isdigit():
            self._drop(1)
            return CodecError(CodecReason.LENGTH, "the length is not four digits", offset=2)
        size = HEAD + int(digits) + _CRC
        if len(self._pending) < size:
            return None
        data = bytes(self._pending[:size])
        try:
            frame = decode_frame(data, any_crc=True)
        except CodecError as error:
            self._drop(1)
            return error
        del self._pending[:size]
        return frame, data

    def _drop(self, count: int) -> None:
        gone = self._pending[:count]
        self.counts["junk_bytes"] += len(gone) - gone.count(b"\r") - gone.count(b"\n")
        del self._pending[:count]
