"""Frames out of a stream of bytes, in bounded memory, whatever lies between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from firmware_bridges.jt808.frames import FLAG, Frame, decode_frame
from tocsin.errors import CodecError

# The longest frame: header 21, body 1023 and check byte, every byte escaped.
MAX_RUN_BYTES = 2 * (21 + 1023 + 1)
_SHORTEST = 13


class Splitter:
    """Feed bytes, take what stands between two flags, decoded or with the reason why it was refused.

    A flag may end one frame and begin the next. Bytes outside flags (`24 24`), short runs, text
    (`(013612345678BP05)`) and runs longer than any frame are dropped and counted as `junk_bytes`. A refused run is tried once more
    together with the run after it: some terminals do not escape a 7E.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._run = bytearray()
        self._inside = False
        self._overlong = False
        self._refused: tuple[bytes, CodecError] | None = None

    def feed(self, data: bytes) -> Iterator[Frame | CodecError]:
        """What is complete with `data`; a refusal is told when the next flag has come."""
        at = 0
        while (found := data.find(FLAG, at)) >= 0:
            self._take(data[at:found])
            at = found + 1
            yield from self._end()
        self._take(data[at:])

    def _take(self, piece: bytes) -> None:
        if not self._inside or self._overlong:
            self.counts["junk_bytes"] += len(piece)
        elif len(self._run) + len(piece) > MAX_RUN_BYTES:
            self.counts["junk_bytes"] += len(self._run) + len(piece)
            self._run.clear()
            self._overlong = True
        else:
            self._run += piece

    def _end(self) -> Iterator[Frame | CodecError]:
        run = bytes(self._run)
        before, self._refused = self._refused, None
        self._run.clear()
        self._inside, self._overlong = True, False
        try:
            frame = _decode(run)
        except CodecError as error:
            if before is not None:
                try:
                    yield _decode(before[0] + b"\x7e" + run)
                except CodecError:
                    yield from self._given_up(*before)
                else:
                    return
            if run:
                self._refused = (run, error)
            return
        if before is not None:
            yield from self._given_up(*before)
        yield frame

    def _given_up(self, run: bytes, error: CodecError) -> Iterator[CodecError]:
        if len(run) < _SHORTEST or _is_text(run):
            self.counts["junk_bytes"] += len(run)
        else:
            yield error


def _is_text(run: bytes) -> bool:
    return run.isascii() and run.rstrip().decode("ascii").isprintable()


def _decode(run: bytes) -> Frame:
    return decode_frame(b"\x7e" + run + b"\x7e")
