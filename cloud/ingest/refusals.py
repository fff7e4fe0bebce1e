"""What a store will never take, as letters: one for each row, or for neighbours with the same reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cloud.ingest.decoded import Letter
from cloud.stores import Block, Rejected
from tocsin.errors import WireReason


def letters_of(
    refused: Sequence[Rejected], blocks: Sequence[Block]
) -> Iterator[tuple[Block, Letter]]:
    """Each letter with the block it is about."""
    for part, last in _runs(refused):
        block = blocks[part.block]
        seqs = block.seq if part.row is None else block.seq[part.row : last + 1]
        lo, hi = (int(seqs[0]), int(seqs[-1]) + 1) if len(seqs) else (0, 0)
        column = part.column or ""
        yield (
            block,
            Letter(
                WireReason.STORE_REJECTED, part.reason, block.stream, lo, hi, block.device, column
            ),
        )


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
