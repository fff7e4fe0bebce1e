"""Hot rows of a while ago are put in the order of their series, as Parquet files are.

Rows arrive in the order of time, every device everywhere: a question about one device would read the device of every hot
row. A window of rows is written once more, sorted, and the old ones deleted in the same transaction; the engine then
passes over what cannot hold the device. Rows that come later with times in a window lie where they came, until they go cold.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import duckdb

from cloud.stores.local.cold_files import Step
from cloud.stores.local.names import quoted
from cloud.stores.local.rewriting import Rewriting, again
from cloud.stores.local.schema import Schema, Table
from cloud.stores.local.transaction import transaction
from tocsin.errors import StoreError

WINDOW_ROWS = 1_000_000  # eight groups of DuckDB's, sorted in a second or two
QUIET_NS = 900 * 10**9  # rows of the last quarter of an hour are still being joined by others
_BIN_NS = 60 * 10**9


def sort_hot(
    connection: duckdb.DuckDBPyConnection,
    schema: Schema,
    now_ns: int,
    rewriting: Rewriting,
    step: Step,
    go_on: Callable[[], bool],
    rows: int = WINDOW_ROWS,
) -> int:
    """Put what is due in order, a window of about `rows` at a time, while `go_on`; how many rows.

    Only the end of a window makes the writer wait.

    Raises:
        StoreError: a window did not come out as it went in, or changed each time; it is left as it was.
    """
    done = 0
    for table in schema.tables.values():
        while (window := _due(connection, table.name, now_ns, rows)) is not None and go_on():
            done += again(partial(_sort, connection, table, window, rewriting, step))
    return done


def _due(
    connection: duckdb.DuckDBPyConnection, measurement: str, now_ns: int, rows: int
) -> tuple[int, int] | None:
    """From when to when the oldest `rows` or more lie that were not put in order; None: there are fewer."""
    table = f"recent.{quoted(measurement)}"
    begun = connection.execute(
        "SELECT max(until_ns) FROM meta.sorted WHERE measurement = ?", [measurement]
    ).fetchall()[0][0]
    since = "true" if begun is None else f"time >= make_timestamp_ns({begun})"
    bins = connection.execute(
        f"SELECT epoch_ns(time) // {_BIN_NS} AS bin, count(*) FROM {table}"
        f" WHERE {since} AND time < make_timestamp_ns({now_ns - QUIET_NS}) GROUP BY bin ORDER BY bin"
    ).fetchall()
    found = 0
    for bin_, n in bins:
        found += n
        if found >= rows:
            return int(bins[0][0]) * _BIN_NS, min((int(bin_) + 1) * _BIN_NS, now_ns - QUIET_NS)
    return None


def _sort(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    window: tuple[int, int],
    rewriting: Rewriting,
    step: Step,
) -> int:
    name, (first_ns, until_ns) = f"recent.{quoted(table.name)}", window
    where = f"time >= make_timestamp_ns({first_ns}) AND time < make_timestamp_ns({until_ns})"
    order = ", ".join([*(quoted(tag) for tag in table.tags), "time"])
    copying = rewriting.copying(table.name, first_ns, until_ns)
    with copying as copy, ExitStack() as end, transaction(connection):
        (newest,) = connection.execute(
            f"SELECT coalesce(max(rowid), -1) FROM {name} WHERE {where}"
        ).fetchall()[0]
        written = _count(
            connection, f"INSERT INTO {name} SELECT * FROM {name} WHERE {where} ORDER BY {order}"
        )
        step("written")
        end.enter_context(copy.ending())
        deleted = _count(connection, f"DELETE FROM {name} WHERE {where} AND rowid <= {newest}")
        if written != deleted:
            raise StoreError(
                f"putting {table.name} in order: {deleted} rows became {written}; left as it was"
            )
        connection.execute("DELETE FROM meta.sorted WHERE measurement = ?", [table.name])
        connection.execute("INSERT INTO meta.sorted VALUES (?, ?)", [table.name, until_ns])
        step("deleted")
    step("committed")
    return written


def _count(connection: duckdb.DuckDBPyConnection, change: str) -> int:
    return int(connection.execute(change).fetchall()[0][0])
