"""When the store refuses a write as a whole for a reason that will not pass: each block alone, so that one costs only itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cloud.stores import Block, LedgerEntry, Rejected, Store, Told, with_refusals
from tocsin.errors import StoreError, StoreUnavailableError


def write(
    store: Store, blocks: list[Block], entries: list[LedgerEntry], told: Told
) -> list[Rejected]:
    """`store.write`; what it will never accept comes back as rejected, and the rest is stored.

    Block and ledger stay together in one transaction each time, so a kill in between doubles nothing.

    Raises:
        StoreUnavailableError: not all was written; call again with the same.
    """
    try:
        return store.write(blocks, entries, told)
    except StoreUnavailableError:
        raise
    except StoreError:
        refused = [r for i, block in enumerate(blocks) for r in _alone(store, block, i, told)]
        store.write([], with_refusals(entries, blocks, refused))
        return refused


def _alone(store: Store, block: Block, index: int, told: Told) -> list[Rejected]:
    def here(found: list[Rejected]) -> list[Rejected]:
        return [replace(r, block=index) for r in found]

    try:
        return here(store.write([block], _numbers(block), lambda found: told(here(found))))
    except StoreUnavailableError:
        raise
    except StoreError as exc:
        refused = [Rejected(index, None, None, exc.message)]
        told(refused)
        return refused


def _numbers(block: Block) -> list[LedgerEntry]:
    """The ledger entries of exactly these rows."""
    seq = np.sort(block.seq)
    runs = np.split(seq, np.flatnonzero(np.diff(seq) != 1) + 1)
    return [
        LedgerEntry(block.gateway, block.stream, int(run[0]), int(run[-1]) + 1)
        for run in runs
        if len(run)
    ]
