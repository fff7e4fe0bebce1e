"""Moving days that are over from the hot file to Parquet.

One day of one measurement moves in one DuckDB transaction: the snapshot is copied to a file beside, fsynced and
renamed, then the rows are deleted, the file entered in `meta.cold` and the view rebuilt, all in the same commit. The
view reads only files in that list. A kill before the commit leaves a file nobody reads, removed at the next start;
a kill after it leaves nothing to do. Either way no row is lost and none is seen twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb

from cloud.stores.local.cold_files import DAY_NS, Step, new_path, write_file
from cloud.stores.local.names import quoted
from cloud.stores.local.schema import Schema
from cloud.stores.local.views import rebuild_view


@dataclass(frozen=True, slots=True)
class Rolled:
    """One file written."""

    measurement: str
    path: str
    rows: int


def due(
    connection: duckdb.DuckDBPyConnection, schema: Schema, before_ns: int
) -> list[tuple[str, int]]:
    """(measurement, day number since 1970) of every day with rows older than `before_ns`, oldest first."""
    found: list[tuple[str, int]] = []
    for table in schema.tables.values():
        days = connection.execute(
            f"SELECT DISTINCT epoch_ns(time) // {DAY_NS} FROM recent.{quoted(table.name)}"
            f" WHERE time < make_timestamp_ns({before_ns})"
        ).fetchall()
        found.extend((table.name, int(day)) for (day,) in days)
    return sorted(found, key=lambda item: item[1])


def move_days(
    connection: duckdb.DuckDBPyConnection,
    schema: Schema,
    before_ns: int,
    cold: Path,
    lock: AbstractContextManager[object],
    step: Step,
) -> Iterator[Rolled]:
    """Move what is older than `before_ns`, a day of a measurement at a time, oldest first."""
    for name, day in due(connection, schema, before_ns):
        move = partial(
            move_day,
            connection,
            name,
            day,
            before_ns,
            cold=cold,
            tags=schema.tables[name.lower()].tags,
            lock=lock,
            step=step,
        )
        try:
            rolled = move()
        except duckdb.TransactionException:  # a column came in the meantime
            rolled = move()
        if rolled is not None:
            yield rolled


def move_day(
    connection: duckdb.DuckDBPyConnection,
    measurement: str,
    day: int,
    before_ns: int,
    *,
    cold: Path,
    tags: list[str],
    lock: AbstractContextManager[object],
    step: Step,
) -> Rolled | None:
    """Move the rows of `day` that are older than `before_ns`. Only the commit at the end holds `lock`.

    `step` is told each point passed; tests die there.
    """
    end_ns = min((day + 1) * DAY_NS, before_ns)
    where = f"time >= make_timestamp_ns({max(day * DAY_NS, -(2**63) + 10)}) AND time < make_timestamp_ns({end_ns})"
    date = datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    connection.execute("BEGIN")
    try:
        row = connection.execute(
            f"SELECT count(*), epoch_ns(min(time)), epoch_ns(max(time)) FROM recent.{quoted(measurement)} WHERE {where}"
        ).fetchone()
        if row is None or not row[0]:
            connection.execute("ROLLBACK")
            return None
        path = new_path(connection, cold, measurement, date)
        order = ", ".join([*(quoted(tag) for tag in tags), "time"])
        select = f"SELECT * FROM recent.{quoted(measurement)} WHERE {where} ORDER BY {order}"
        write_file(connection, select, cold / path, step)
        with lock:
            connection.execute(f"DELETE FROM recent.{quoted(measurement)} WHERE {where}")
            connection.execute(
                "INSERT INTO meta.cold VALUES (?, ?, ?, ?, ?, ?)",
                [measurement, date, path, *row],
            )
            rebuild_view(connection, measurement, cold)
            step("deleted")
            connection.execute("COMMIT")
        step("committed")
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
    return Rolled(measurement, path, int(row[0]))
