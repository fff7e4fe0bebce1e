"""A day that came cold in several files becomes one, sorted; a very large day one per stretch of its devices.

The new files are written and renamed first; then one commit lists them instead of the old ones and rebuilds the view.
A kill before it leaves files nobody reads, a kill after it leaves the old ones so: either are removed at the next start.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb

from cloud.stores.local.cold_files import (
    MERGED,
    Step,
    cut,
    enter,
    leave,
    made_from,
    new_path,
    scan,
    write_file,
)
from cloud.stores.local.names import quoted
from cloud.stores.local.transaction import transaction
from cloud.stores.local.views import rebuild_view
from tocsin.errors import StoreError

PART_ROWS = 4_000_000  # sorted within the memory that the store has


def merge_day(
    connection: duckdb.DuckDBPyConnection,
    measurement: str,
    date: str,
    files: Sequence[str],
    *,
    cold: Path,
    tags: Sequence[str],
    lock: AbstractContextManager[object],
    step: Step,
) -> list[str]:
    """Replace `files`, all of this day; the new ones. Only the commit holds `lock`.

    Raises:
        StoreError: the new files do not hold as many rows; nothing is changed.
    """
    source = scan(cold, files)
    order = ", ".join([*(quoted(tag) for tag in tags), "time"])
    conditions = cut(connection, source, tags, PART_ROWS)
    origin = made_from(connection, cold, files, len(conditions))
    made: list[str] = []
    for condition in conditions:
        path = new_path(connection, cold, measurement, date, MERGED)
        select = f"SELECT * FROM {source} WHERE {condition} ORDER BY {order}"
        write_file(connection, select, cold / path, step, origin)
        made.append(path)
    with lock, transaction(connection):
        before = _rows(connection, files)
        leave(connection, files)
        after = sum(enter(connection, cold, measurement, date, path) for path in made)
        if before != after:
            raise StoreError(
                f"merging {measurement} of {date}: {before} rows became {after}; left as it was"
            )
        _tell_samples(connection, measurement, date, files, made)
        rebuild_view(connection, measurement, cold)
        step("listed")
    step("committed")
    return made


def _rows(connection: duckdb.DuckDBPyConnection, files: Sequence[str]) -> int:
    (rows,) = connection.execute(
        "SELECT sum(rows) FROM meta.cold WHERE path IN (SELECT unnest(?))", [list(files)]
    ).fetchall()[0]
    return int(rows or 0)


def _tell_samples(
    connection: duckdb.DuckDBPyConnection,
    measurement: str,
    date: str,
    files: Sequence[str],
    made: Sequence[str],
) -> None:
    """A down-sample that was made of `files` is now one of `made`."""
    connection.execute(
        "UPDATE meta.sampled SET made_of = list_concat(list_filter(made_of, lambda f: NOT list_contains($old, f)), $new)"
        " WHERE measurement = $m AND day = $d AND list_has_all(made_of, $old)",
        {"old": list(files), "new": list(made), "m": measurement, "d": date},
    )
