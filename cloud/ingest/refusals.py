"""What a store will never take, as letters: one for each row, or for neighbours with the same reason."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from cloud.ingest.decoded import Letter
from cloud.link import Received
from cloud.stores import Block, Rejected
from tocsin.errors import WireReason

Origin = tuple[Sequence[int], Sequence[Received]]  # the first rows of messages in a block, and they


def letters_of(
    refused: Sequence[Rejected], blocks: Sequence[Block], origins: Mapping[int, Origin]
) -> Iterator[tuple[Block, Received, Letter]]:
    """Each letter with the block and the message it is about. `origins`: of each block, by its `id`."""
    for part, last in _runs(refused):
        block = blocks[part.block]
        rows = (0, len(block.seq)) if part.row is None else (part.row, last + 1)
        for message, first, end in _messages(*rows, *origins[id(block)]):
            seqs = block.seq[first:end]
            lo, hi = (int(seqs[0]), int(seqs[-1]) + 1) if len(seqs) else (0, 0)
            why, column = part.reason, part.column or ""
            yield (
                block,
                message,
                Letter(WireReason.STORE_REJECTED, why, block.stream, lo, hi, block.device, column),
            )


def _messages(
    first: int, end: int, starts: Sequence[int], messages: Sequence[Received]
) -> Iterator[tuple[Received, int, int]]:
    """(message, its first row, one past its last) for rows [first, end) of a block."""
    at = bisect_right(starts, first) - 1
    while True:
        after = starts[at + 1] if at + 1 < len(starts) else end
        yield messages[at], first, min(after, end)
        if after >= end:
            return
        first, at = after, at + 1


def _runs(refused: Sequence[Rejected]) -> Iterator[tuple[Rejected, int]]:
    """(first of the run, last row of it)."""
    at = 0
    while at < len(refused):
        first, last = refused[at], refused[at].row
        at += 1
        while last is not None and at < len(refused) and _follows(refused[at], first, last):
            last += 1
            at += 1
        yield first, last or 0


def _follows(part: Rejected, first: Rejected, last: int) -> bool:
    same = (part.block, part.column, part.reason) == (first.block, first.column, first.reason)
    return same and part.row == last + 1
