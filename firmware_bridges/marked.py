"""Frames out of a stream of bytes, in bounded memory: found by a mark at their beginning and their length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

from tocsin.errors import CodecError, CodecReason

Item = TypeVar("Item")


class MarkedSplitter(ABC, Generic[Item]):
    """Feed bytes, take frames, or why one was refused. After a refusal the search goes on one byte later.

    Bytes that are in no frame are counted as `junk_bytes`, but for those in `BETWEEN`.
    """

    MARK: ClassVar[bytes]
    BETWEEN: ClassVar[bytes] = b""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._pending = bytearray()

    @property
    def pending(self) -> bool:
        """Whether the beginning of a frame waits for its end."""
        return bool(self._pending)

    def feed(self, data: bytes) -> Iterator[Item | CodecError]:
        """What is complete with `data`."""
        self._pending += data
        while (item := self._next()) is not None:
            yield item

    def silence(self) -> Iterator[Item | CodecError]:
        """Nothing came for a while: a beginning that waits for its end is refused, and what hides in it found."""
        while self._pending:
            if (item := self._next()) is not None:
                yield item
            elif self._pending:
                yield CodecError(CodecReason.TRUNCATED, f"{len(self._pending)} bytes of a frame")
                self._drop(1)

    @abstractmethod
    def size(self, head: bytes) -> int | None:
        """The length of the frame that begins with `head`, None while too little of it has come.

        Raises:
            CodecError: it is none.
        """

    @abstractmethod
    def frame(self, data: bytes) -> Item:
        """One whole frame.

        Raises:
            CodecError: it is none.
        """

    def refused(self, _data: bytes, error: CodecError) -> Item | CodecError:
        """What stands for a frame of the right length that `frame` refused."""
        return error

    def _next(self) -> Item | CodecError | None:
        start = self._pending.find(self.MARK)
        if start < 0:
            self._drop(len(self._pending) - self._pending.endswith(self.MARK[:1]))
            return None
        self._drop(start)
        try:
            size = self.size(bytes(self._pending[:32]))
        except CodecError as error:
            self._drop(1)
            return error
        if size is None or len(self._pending) < size:
            return None
        data = bytes(self._pending[:size])
        try:
            item = self.frame(data)
        except CodecError as error:
            self._drop(1)
            return self.refused(data, error)
        del self._pending[:size]
        return item

    def _drop(self, count: int) -> None:
        gone = self._pending[:count]
        self.counts["junk_bytes"] += len(gone) - sum(map(gone.count, self.BETWEEN))
        del self._pending[:count]
