"""Blocks as ingest makes them, and a ledger in memory."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from cloud.stores import Block, Column, LedgerEntry
from cloud.stores.influx.store import Settled
from tocsin.contract.ranges import RangeSet

T0 = 1_700_000_000_123_456_789
STREAM = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Kept:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.settled: Settled = {}

    def load(self, gateways: Collection[str] | None = None) -> Settled:
        return {k: v for k, v in self.settled.items() if gateways is None or k[0] in gateways}

    def append(self, entries: list[LedgerEntry]) -> None:
        for e in entries:
            pair = self.settled.setdefault((e.gateway, e.stream), (RangeSet(), RangeSet()))
            pair[0].add(e.lo, e.hi)
            if e.rejected:
                pair[1].add(e.lo, e.hi)


def block(
    columns: dict[str, Column] | None = None,
    device: str = "gas-01",
    *,
    rows: int = 3,
    first: int = 0,
    step_ns: int = 1_000_000_000,
) -> Block:
    """Rows of one gas head, `h2s` counting from first + 0.5."""
    seq = np.arange(first, first + rows)
    return Block(
        measurement="gas",
        site="north",
        device=device,
        gateway="gw-1",
        stream=STREAM,
        seq=seq,
        time_ns=T0 + seq * step_ns,
        columns=columns or {"h2s": Column("f", seq + 0.5)},
    )
