"""Links that show what passes over them, cut where a frame ends: broken frames and noise too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from edge.ports import Duplex, Link
from tocsin.errors import LinkError
from tocsin.sdk import Direction

LONGEST = 1024
Show = Callable[[Direction, bytes], None]


class Pieces:
    """Feed bytes as they come. A piece ends with `mark` and holds more than marks; a longer one is cut at `LONGEST`."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` completes."""
        text, at = self._rest + data, 0
        while True:
            begin = at
            while text.startswith(self._mark, begin):
                begin += 1
            end = text.find(self._mark, begin)
            if end < 0:
                break
            yield text[at : end + 1]
            at = end + 1
        self._rest = text[at:]
        while len(self._rest) >= LONGEST:
            yield self._rest[:LONGEST]
            self._rest = self._rest[LONGEST:]

    def flush(self) -> bytes:
        """What came since the last mark."""
        rest, self._rest = self._rest, b""
        return rest


class Shown:
    """A link whose frames end with `mark`. What has no end is shown when the reader gives up waiting."""

    def __init__(self, link: Link, show: Show, mark: bytes) -> None:
        self._link, self._show = link, show
        self._pieces = Pieces(mark)

    async def read(self) -> bytes:
        """As the link's own."""
        try:
            data = await self._link.read()
        except (asyncio.CancelledError, LinkError):
            self._flush()
            raise
        for piece in self._pieces.feed(data):
            self._show("rx", piece)
        return data

    def _flush(self) -> None:
        if rest := self._pieces.flush():
            self._show("rx", rest)

    def close(self) -> None:
        """As the link's own."""
        self._flush()
        self._link.close()


class ShownDuplex(Shown):
    """The same for a link that is written to."""

    def __init__(self, link: Duplex, show: Show, mark: bytes) -> None:
        super().__init__(link, show, mark)
        self._duplex = link

    async def write(self, data: bytes) -> None:
        """As the link's own."""
        await self._duplex.write(data)
        self._show("tx", data)
