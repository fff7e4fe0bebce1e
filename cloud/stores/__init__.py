"""Time-series stores. Every store takes columns, writes them with their ledger, and says what will never be accepted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tocsin.contract.catalogue import TypeCode
from tocsin.contract.ranges import RangeSet

NO_TIME = np.iinfo(np.int64).min  # in `source_ns`: the source told no time


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a block. `values`: float64, int64, bool or object (str), shape (n,).

    `valid` None means every value is present; `quality` (uint8, shape (n,)) None means all good.
    """

    type: TypeCode
    values: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_] | None = None
    quality: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """n rows of one device; each row is one (device, time). `raw` holds `<quantity>_raw` columns of converted values."""

    measurement: str
    site: str
    device: str
    gateway: str
    stream: str
    seq: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    columns: dict[str, Column]
    source_ns: npt.NDArray[np.int64] | None = None
    raw: dict[str, Column] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Sequence numbers [lo, hi) of one stream that this write settles. `rejected`: settled as dead letters."""

    gateway: str
    stream: str
    lo: int
    hi: int
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A part of a write that the store will never accept."""

    block: int  # index into the blocks of the call
    row: int | None  # None: the whole block
    column: str | None
    reason: str


Told = Callable[[list[Rejected]], None]


def nobody(_rejected: list[Rejected]) -> None:
    """Nobody needs to hear what a store refuses."""


def with_refusals(
    ledger: list[LedgerEntry], blocks: Sequence[Block], rejected: Sequence[Rejected]
) -> list[LedgerEntry]:
    """`ledger` with the rows that the store refused as a whole settled as rejected."""
    refused: dict[tuple[str, str], RangeSet] = {}
    for part in rejected:
        if part.column is None:
            block = blocks[part.block]
            numbers = block.seq if part.row is None else block.seq[part.row : part.row + 1]
            ranges = refused.setdefault((block.gateway, block.stream), RangeSet())
            for seq in numbers.tolist():
                ranges.add(seq, seq + 1)
    if not refused:
        return ledger
    out: list[LedgerEntry] = []
    for entry in ledger:
        ranges = refused.get((entry.gateway, entry.stream), RangeSet())
        good = RangeSet(ranges.missing(entry.lo, entry.hi))
        out += [replace(entry, lo=lo, hi=hi) for lo, hi in good]
        bad = good.missing(entry.lo, entry.hi)
        out += [replace(entry, lo=lo, hi=hi, rejected=True) for lo, hi in bad]
    return out


class Store(Protocol):
    """Called from one thread only. A write is all or nothing but for what it returns as rejected.

    `shared`: other ingesters may write it at the same time, and settle numbers in the same ledger.
    """

    shared: bool

    def write(
        self, blocks: list[Block], ledger: list[LedgerEntry], told: Told = nobody
    ) -> list[Rejected]:
        """Make blocks and ledger durable together; rows refused as a whole are settled as rejected.

        `told` is called with what is refused, if anything, before `ledger` is durable: a kill in between must not
        leave numbers settled that nobody can account for.

        Raises:
            StoreUnavailableError: nothing was settled; try again later. Also what `told` raises.
        """
        ...

    def fill(self, blocks: list[Block]) -> list[Rejected]:
        """Put values into rows that are stored without them; the same again changes nothing.

        Raises:
            StoreUnavailableError: not all is stored; try again later.
        """
        ...

    def ledger(
        self, gateways: Collection[str] | None = None
    ) -> dict[tuple[str, str], tuple[RangeSet, RangeSet]]:
        """(gateway, stream) -> (settled, of them rejected), as of the last write; of these gateways, or all.

        Raises:
            StoreUnavailableError: a shared ledger cannot be read; try again later.
        """
        ...

    def close(self) -> None:
        """Flush and release."""
        ...
