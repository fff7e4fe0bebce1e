"""Time-series stores. Every store takes columns, writes them with their ledger, and says what will never be accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
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


class Store(Protocol):
    """Called from one thread only. A write is all or nothing but for what it returns as rejected."""

    def write(self, blocks: list[Block], ledger: list[LedgerEntry]) -> list[Rejected]:
        """Make blocks and ledger durable together.

        Raises:
            StoreUnavailableError: nothing was written; try again later.
        """
        ...

    def ledger(self) -> dict[tuple[str, str], tuple[RangeSet, RangeSet]]:
        """(gateway, stream) -> (settled, of them rejected), as of the last write."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...
