"""Deleting what the policy no longer keeps: a day of rows, or a day of bins.

The commit strikes the files off the list, notes which sequence numbers went, and rebuilds the view; the files follow
when no query and no backup can read them any more. The ledger stays: these numbers were stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb

from cloud.audit.model import Deleted
from cloud.stores.local.cold_files import DAY_NS, Step, leave, scan
from cloud.stores.local.retention import DELETED
from cloud.stores.local.transaction import transaction
from cloud.stores.local.views import rebuild_sample_view, rebuild_view


def retire_rows(
    connection: duckdb.DuckDBPyConnection,
    measurement: str,
    date: str,
    files: Sequence[str],
    *,
    cold: Path,
    lock: AbstractContextManager[object],
    now_ns: int,
    step: Step,
) -> None:
    """Give up the rows of `files`, all of this day. Only the commit holds `lock`."""
    source = scan(cold, files)
    there = {
        str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    }
    gateway, stream = (f"coalesce({c}, '')" if c in there else "''" for c in ("gateway", "stream"))
    lo, hi = ("min(seq)", "max(seq) + 1") if "seq" in there else ("NULL", "NULL")
    gone = connection.execute(
        f"SELECT {gateway}, {stream}, {lo}, {hi}, count(*) FROM {source} GROUP BY 1, 2"
    ).fetchall()
    with lock, transaction(connection):
        connection.executemany(
            "INSERT INTO meta.retired VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [[measurement, date, *row, list(files), now_ns] for row in gone],
        )
        connection.execute(
            f"CREATE OR REPLACE VIEW main.{DELETED} AS SELECT measurement, day, gateway, stream, lo, hi, rows,"
            " make_timestamp_ns(at_ns) AS deleted FROM meta.retired"
        )
        leave(connection, files)
        rebuild_view(connection, measurement, cold)
        step("struck")
    step("committed")


def deleted_of(
    connection: duckdb.DuckDBPyConnection, gateway: str, from_ns: int | None, to_ns: int | None
) -> list[Deleted]:
    """What the policy deleted of a gateway, of days that lie in the time asked for, by measurement."""
    first, end = (None if ns is None else ns // DAY_NS for ns in (from_ns, to_ns))
    found = connection.execute(
        "SELECT measurement, CAST(sum(rows) AS BIGINT), CAST(min(day) AS VARCHAR), CAST(max(day) AS VARCHAR), max(at_ns)"
        " FROM meta.retired WHERE gateway = $gateway"
        " AND ($first IS NULL OR day >= DATE '1970-01-01' + CAST($first AS INTEGER))"
        " AND ($last IS NULL OR day <= DATE '1970-01-01' + CAST($last AS INTEGER))"
        " GROUP BY measurement ORDER BY measurement",
        {"gateway": gateway, "first": first, "last": end},
    ).fetchall()
    return [Deleted(str(m), int(n), str(a), str(b), int(at)) for m, n, a, b, at in found]


def deleted_until_ns(connection: duckdb.DuckDBPyConnection, measurement: str) -> int:
    """The end of the last day of which the policy deleted rows; 0 when it deleted none."""
    (day,) = connection.execute(
        "SELECT max(day) - DATE '1970-01-01' FROM meta.retired WHERE lower(measurement) = lower(?)",
        [measurement],
    ).fetchall()[0]
    return 0 if day is None else (int(day) + 1) * DAY_NS


def retire_bins(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    date: str,
    *,
    cold: Path,
    lock: AbstractContextManager[object],
    step: Step,
) -> list[str]:
    """Give up the bins of a day; their files."""
    with lock, transaction(connection):
        gone = connection.execute(
            "DELETE FROM meta.cold WHERE measurement = ? AND day = ? RETURNING path",
            [name, date],
        ).fetchall()
        connection.execute("DELETE FROM meta.sampled WHERE name = ? AND day = ?", [name, date])
        rebuild_sample_view(connection, name, cold)
        step("struck")
    step("committed")
    return [str(path) for (path,) in gone]
