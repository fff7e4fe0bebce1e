"""A dead letter that is tried again: of its message, what is still missing and what its letter is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from cloud.ingest.decoded import Decoded, Letter
from cloud.ingest.groups import take
from cloud.ingest.ledger import Ledger
from cloud.stores import Block, LedgerEntry
from tocsin.contract.ranges import RangeSet


@dataclass(frozen=True, slots=True)
class Scope:
    """What one letter is about: numbers [lo, hi) of `stream`, one quantity of a device, or (without numbers) a whole message."""

    id: int
    digest: str
    stream: str = ""
    lo: int = 0
    hi: int = 0
    device: str = ""
    quantity: str = ""

    def has(self, letter: Letter) -> bool:
        """Whether a letter found now is about the same."""
        if self.lo == self.hi:
            return True
        if (self.device, self.quantity) != (letter.device, letter.quantity) and self.quantity:
            return False
        return letter.stream == self.stream and letter.lo < self.hi and self.lo < letter.hi


@dataclass(slots=True)
class Reopened:
    """`got` without what is stored already; `fills` are values for rows that are stored without them."""

    got: Decoded
    fills: list[Block] = field(default_factory=list)


class Everything:
    """A view in which nothing is stored, so that a message is decoded whole, with the same stamps as the first time."""

    def __init__(self, sites: dict[str, str]) -> None:
        self.site_of = sites.get

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        """All of it."""
        return [(lo, hi)]


def reopen(got: Decoded, scope: Scope, ledger: Ledger) -> Reopened:
    """Cut to what is neither stored nor on its way, was refused before, or is what the letter is about."""
    got.online = got.health = got.resume = None  # what a gateway said of its present is past
    numbers = RangeSet((entry.lo, entry.hi) for entry in got.ledger)
    if not numbers:
        got.letters = [letter for letter in got.letters if scope.has(letter)]
        return Reopened(got)
    wanted = RangeSet()
    for lo, hi in numbers:
        for a, b in ledger.missing(got.gateway, got.stream, lo, hi):
            wanted.add(a, b)
        for a, b in ledger.refused(got.gateway, got.stream, lo, hi):
            if scope.lo == scope.hi:
                wanted.add(a, b)
            else:
                wanted.add(max(a, scope.lo), min(b, scope.hi))
    fills = [
        filled
        for block in (*got.blocks, *got.late)
        if (filled := _filling(block, scope, wanted)) is not None
    ]
    rows = partial(_only, wanted=wanted)
    got.blocks = [b for b in map(rows, got.blocks) if len(b.seq)]
    got.late = [b for b in map(rows, got.late) if len(b.seq)]
    got.ledger = [part for entry in got.ledger for part in _within(entry, wanted)]
    got.letters = [
        letter for letter in got.letters if scope.has(letter) or _overlaps(letter, wanted)
    ]
    got.rows = sum(entry.hi - entry.lo for entry in got.ledger if not entry.rejected)
    if got.event is not None and got.event.seq not in wanted:
        got.event = None
    return Reopened(got, fills)


def _filling(block: Block, scope: Scope, wanted: RangeSet) -> Block | None:
    column = block.columns.get(scope.quantity)
    if column is None or block.device != scope.device:
        return None
    keep = [scope.lo <= seq < scope.hi and seq not in wanted for seq in block.seq.tolist()]
    if not any(keep):
        return None
    raw = {name: cells for name, cells in block.raw.items() if name == scope.quantity}
    only = replace(block, columns={scope.quantity: column}, raw=raw)
    return take(only, np.flatnonzero(keep))


def _only(block: Block, wanted: RangeSet) -> Block:
    keep = np.flatnonzero([seq in wanted for seq in block.seq.tolist()])
    return block if len(keep) == len(block.seq) else take(block, keep)


def _within(entry: LedgerEntry, wanted: RangeSet) -> list[LedgerEntry]:
    outside = RangeSet(wanted.missing(entry.lo, entry.hi))
    return [replace(entry, lo=lo, hi=hi) for lo, hi in outside.missing(entry.lo, entry.hi)]


def _overlaps(letter: Letter, wanted: RangeSet) -> bool:
    return wanted.missing(letter.lo, letter.hi) != [(letter.lo, letter.hi)]
