"""Bytes to lines, with an upper bound on what an endless line may hold."""

from __future__ import annotations

MAX_PENDING = 4096


class LineSplitter:
    """Feed chunks as they come; whole lines leave. A line longer than `limit` bytes is dropped and counted."""

    def __init__(self, limit: int = MAX_PENDING) -> None:
        self._limit = limit
        self._pending = b""
        self._skipping = False
        self.dropped = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their ends."""
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if self._skipping or len(self._pending) > self._limit:
            self.dropped += not self._skipping
            self._skipping = True
            self._pending = b""
        return lines

    def rest(self) -> bytes:
        """What is left when the source ends without a line end."""
        left, self._pending = self._pending, b""
        return left
