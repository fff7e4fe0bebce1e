"""Moving days that are over from the hot file to Parquet.

One day of one measurement moves in one DuckDB transaction: the snapshot is copied to a file beside, fsynced and
renamed, then the rows are deleted, the file entered in `meta.cold` and the view rebuilt, all in the same commit. The
view reads only files in that list. A kill before the commit leaves a file nobody reads, removed at the next start;
a kill after it leaves nothing to do. Either way no row is lost and none is seen twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb

from cloud.stores.local.cold_files import DAY_NS, Step, new_path, write_file
from cloud.stores.local.names import quoted
from cloud.stores.local.rewriting import Rewriting, again
from cloud.stores.local.schema import Schema
from cloud.stores.local.transaction import transaction
from cloud.stores.local.views import rebuild_view
from tocsin.errors import StoreUnavailableError


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
    rewriting: Rewriting,
    step: Step,
) -> Iterator[Rolled]:
    """Move what is older than `before_ns`, a day of a measurement at a time, oldest first.

    Raises:
        StoreUnavailableError: a day got values each time it was copied; it stays.
    """
    for name, day in due(connection, schema, before_ns):
        move = partial(
            move_day,
            connection,
            name,
            day,
            before_ns,
            cold=cold,
            tags=schema.tables[name.lower()].tags,
            rewriting=rewriting,
            step=step,
        )
        rolled = again(move)
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
    rewriting: Rewriting,
    step: Step,
) -> Rolled | None:
    """Move the rows of `day` that are older than `before_ns`. Only the commit at the end makes the writer wait.

    `step` is told each point passed; tests die there.
    """
    end_ns = min((day + 1) * DAY_NS, before_ns)
    where = f"time >= make_timestamp_ns({max(day * DAY_NS, -(2**63) + 10)}) AND time < make_timestamp_ns({end_ns})"
    date = datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    table = f"recent.{quoted(measurement)}"
    copying = rewriting.copying(measurement, day * DAY_NS, end_ns)
    with copying as copy, ExitStack() as end, transaction(connection):
        row = connection.execute(
            f"SELECT count(*), epoch_ns(min(time)), epoch_ns(max(time)) FROM {table} WHERE {where}"
        ).fetchall()[0]
        if not row[0]:
            return None
        path = new_path(connection, cold, measurement, date)
        order = ", ".join([*(quoted(tag) for tag in tags), "time"])
        write_file(
            connection, f"SELECT * FROM {table} WHERE {where} ORDER BY {order}", cold / path, step
        )
        try:
            end.enter_context(copy.ending())
        except StoreUnavailableError:
            (cold / path).unlink()
            raise
        connection.execute(f"DELETE FROM {table} WHERE {where}")
        connection.execute(
            "INSERT INTO meta.cold VALUES (?, ?, ?, ?, ?, ?)", [measurement, date, path, *row]
        )
        rebuild_view(connection, measurement, cold)
        step("deleted")
    step("committed")
    return Rolled(measurement, path, int(row[0]))
