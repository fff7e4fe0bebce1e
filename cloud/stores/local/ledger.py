"""Settled sequence ranges, written in the same transaction as the rows."""

from __future__ import annotations

import duckdb

from cloud.stores import LedgerEntry
from tocsin.contract.ranges import RangeSet

Settled = dict[tuple[str, str], tuple[RangeSet, RangeSet]]
_COMPACT_AFTER_ROWS = 20_000


class LedgerTable:
    """`meta.ledger`: appended to on each write, folded to its ranges now and then.

    What stands there as rejected and as stored is stored: a dead letter was requeued.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.settled: Settled = {}
        self._rows = 0
        for gateway, stream, lo, hi, rejected in connection.execute(
            "SELECT gateway, stream, lo, hi, rejected FROM meta.ledger ORDER BY rejected DESC"
        ).fetchall():
            self._add(LedgerEntry(gateway, stream, lo, hi, rejected))
            self._rows += 1

    def append(self, connection: duckdb.DuckDBPyConnection, entries: list[LedgerEntry]) -> None:
        """Write `entries` inside the caller's transaction; call `committed` after it."""
        merged = _merge(entries)
        connection.executemany("INSERT INTO meta.ledger VALUES (?, ?, ?, ?, ?)", merged)
        if self._rows + len(merged) > _COMPACT_AFTER_ROWS:
            self._compact(connection)

    def committed(self, entries: list[LedgerEntry]) -> None:
        """The transaction that wrote `entries` is durable."""
        for entry in entries:
            self._add(entry)
        self._rows += len(entries)

    def has(self, entry: LedgerEntry) -> bool:
        """Whether all of `entry` is settled already, and not only as rejected where it is to be stored."""
        pair = self.settled.get((entry.gateway, entry.stream))
        if pair is None or pair[0].missing(entry.lo, entry.hi):
            return False
        return entry.rejected or pair[1].missing(entry.lo, entry.hi) == [(entry.lo, entry.hi)]

    def snapshot(self) -> Settled:
        """Copies of all ranges."""
        return {key: (RangeSet(a), RangeSet(b)) for key, (a, b) in self.settled.items()}

    def _add(self, entry: LedgerEntry) -> None:
        all_settled, rejected = self.settled.setdefault(
            (entry.gateway, entry.stream), (RangeSet(), RangeSet())
        )
        all_settled.add(entry.lo, entry.hi)
        if entry.rejected:
            rejected.add(entry.lo, entry.hi)
        else:  # a dead letter that could be stored after all
            rejected.remove(entry.lo, entry.hi)

    def _compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        rows = connection.execute("SELECT gateway, stream, lo, hi, rejected FROM meta.ledger")
        merged = _merge([LedgerEntry(*row) for row in rows.fetchall()])
        connection.execute("DELETE FROM meta.ledger")
        connection.executemany("INSERT INTO meta.ledger VALUES (?, ?, ?, ?, ?)", merged)
        self._rows = len(merged)


def _merge(entries: list[LedgerEntry]) -> list[tuple[str, str, int, int, bool]]:
    ranges: dict[tuple[str, str, bool], RangeSet] = {}
    for e in entries:
        ranges.setdefault((e.gateway, e.stream, e.rejected), RangeSet()).add(e.lo, e.hi)
    return [
        (gateway, stream, lo, hi, rejected)
        for (gateway, stream, rejected), found in ranges.items()
        for lo, hi in found
    ]
