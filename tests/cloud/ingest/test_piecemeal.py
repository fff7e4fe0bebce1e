"""A block that the store will never take costs only itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud.ingest import piecemeal
from cloud.stores import Block, Column, LedgerEntry, Rejected, Told, nobody
from cloud.stores.local.store import LocalStore
from tocsin.errors import StoreError, StoreUnavailableError


class Poisoned(LocalStore):
    """The real store, which fails as a whole as soon as a write holds a row of the device `poison`."""

    away_at = -1
    calls = 0

    def write(
        self, blocks: list[Block], ledger: list[LedgerEntry], told: Told = nobody
    ) -> list[Rejected]:
        self.calls += 1
        if self.calls == self.away_at:
            raise StoreUnavailableError("away")
        if any(b.device == "poison" for b in blocks):
            raise StoreError("cannot take it")
        return super().write(blocks, ledger, told)


def block(device: str, first: int, rows: int = 3) -> Block:
    seq = np.arange(first, first + rows, dtype=np.int64)
    values = seq.astype(np.float64)
    return Block("gas", "s", device, "gw", "0" * 26, seq, seq * 1000, {"h2s": Column("f", values)})


BLOCKS = [block("a", 0), block("poison", 3), block("b", 6)]
ENTRIES = [LedgerEntry("gw", "0" * 26, 0, 9)]


def stored(store: LocalStore) -> list[tuple[str, int]]:
    found = store.query("SELECT device, seq FROM gas ORDER BY seq")
    return list(zip(*(list(column) for column in found.data), strict=True))


def test_the_other_blocks_are_stored_and_the_poison_is_named(tmp_path: Path) -> None:
    store = Poisoned(tmp_path)
    try:
        (refused,) = piecemeal.write(store, BLOCKS, ENTRIES, nobody)
        assert (refused.block, refused.row, refused.reason) == (1, None, "cannot take it")
        assert stored(store) == [("a", 0), ("a", 1), ("a", 2), ("b", 6), ("b", 7), ("b", 8)]
        settled, rejected = store.ledger()["gw", "0" * 26]
        assert (list(settled), list(rejected)) == ([(0, 9)], [(3, 6)])
    finally:
        store.close()


@pytest.mark.parametrize("away_at", [2, 4, 5])
def test_a_store_that_goes_away_in_between_doubles_nothing_when_tried_again(
    tmp_path: Path, away_at: int
) -> None:
    store = Poisoned(tmp_path)
    try:
        store.away_at = away_at
        with pytest.raises(StoreUnavailableError):
            piecemeal.write(store, BLOCKS, ENTRIES, nobody)
        piecemeal.write(store, BLOCKS, ENTRIES, nobody)
        assert stored(store) == [("a", 0), ("a", 1), ("a", 2), ("b", 6), ("b", 7), ("b", 8)]
    finally:
        store.close()
