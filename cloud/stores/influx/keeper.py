"""The ledger of what InfluxDB holds, in the state database: one row per contiguous range."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, Engine, and_, delete, insert, select, text
from sqlalchemy.exc import DBAPIError

from cloud.db import read
from cloud.stores import LedgerEntry
from cloud.stores.influx.store import Settled
from cloud.stores.influx.tables import influx_ledger
from tocsin.contract.ranges import RangeSet
from tocsin.errors import StoreUnavailableError

Key = tuple[str, str, bool]  # gateway, stream, rejected
_LOCK_KEY = 0x6C656467  # "ledg": two ingesters must not merge the same rows at once
_ALONE = text("SELECT pg_advisory_xact_lock(:key)")


class SqlLedger:
    """Ranges that touch are one row, so that the table grows with gaps and not with messages. Several may write it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, gateways: Collection[str] | None = None) -> Settled:
        """(gateway, stream) -> (settled, of them rejected); of these gateways, or all.

        Raises:
            StoreUnavailableError: the state database does not answer.
        """
        settled: Settled = {}
        wanted = select(influx_ledger).order_by(influx_ledger.c.rejected.desc())
        if gateways is not None:
            wanted = wanted.where(influx_ledger.c.gateway.in_(sorted(gateways)))
        try:
            with read(self._engine) as connection:
                rows = connection.execute(wanted).all()
        except DBAPIError as exc:
            raise StoreUnavailableError(f"the state database tells no ledger: {exc.orig}") from exc
        for gateway, stream, rejected, lo, hi in rows:
            pair = settled.setdefault((gateway, stream), (RangeSet(), RangeSet()))
            pair[0].add(lo, hi)
            if rejected:
                pair[1].add(lo, hi)
            else:  # also where it was rejected before: a dead letter was requeued
                pair[1].remove(lo, hi)
        return settled

    def append(self, entries: list[LedgerEntry]) -> None:
        """Make `entries` durable.

        Raises:
            StoreUnavailableError: the state database does not take them; nothing was kept.
        """
        try:
            with self._engine.begin() as connection:
                if (
                    connection.dialect.name == "postgresql"
                ):  # SQLite has one writer at a time anyway
                    connection.execute(_ALONE, {"key": _LOCK_KEY})
                for key, ranges in _by_key(entries).items():
                    for lo, hi in ranges:
                        _merge(connection, key, lo, hi)
        except DBAPIError as exc:
            raise StoreUnavailableError(
                f"the state database keeps no ledger: {exc.orig}",
                hint="is its disk full, is its server up?",
            ) from exc


def _by_key(entries: Iterable[LedgerEntry]) -> dict[Key, RangeSet]:
    found: dict[Key, RangeSet] = {}
    for e in entries:
        found.setdefault((e.gateway, e.stream, e.rejected), RangeSet()).add(e.lo, e.hi)
    return found


def _merge(connection: Connection, key: Key, lo: int, hi: int) -> None:
    c = influx_ledger.c
    touching = and_(
        c.gateway == key[0], c.stream == key[1], c.rejected == key[2], c.lo <= hi, c.hi >= lo
    )
    for a, b in connection.execute(select(c.lo, c.hi).where(touching)).all():
        lo, hi = min(lo, a), max(hi, b)
    connection.execute(delete(influx_ledger).where(touching))
    row = {"gateway": key[0], "stream": key[1], "rejected": key[2], "lo": lo, "hi": hi}
    connection.execute(insert(influx_ledger), row)
