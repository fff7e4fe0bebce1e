"""Moving days that are over from the hot file to Parquet.

One day of one measurement moves in one DuckDB transaction: the snapshot is copied to a file beside, fsynced and
renamed, then the rows are deleted, the file entered in `meta.cold` and the view rebuilt, all in the same commit. The
view reads only files in that list. A kill before the commit leaves a file nobody reads, removed at the next start;
a kill after it leaves nothing to do. Either way no row is lost and none is seen twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import duckdb

from cloud.stores.local.names import kind_of, literal, quoted
from cloud.stores.local.schema import Schema, rebuild_view

_DAY_NS = 86_400 * 10**9
_ROW_GROUP_ROWS = 100_000

Step = Callable[[str], None]


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
            f"SELECT DISTINCT epoch_ns(time) // {_DAY_NS} FROM recent.{quoted(table.name)}"
            f" WHERE time < make_timestamp_ns({before_ns})"
        ).fetchall()
        found.extend((table.name, int(day)) for (day,) in days)
    return sorted(found, key=lambda item: item[1])


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
    end_ns = min((day + 1) * _DAY_NS, before_ns)
    where = f"time >= make_timestamp_ns({max(day * _DAY_NS, -(2**63) + 10)}) AND time < make_timestamp_ns({end_ns})"
    date = datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    connection.execute("BEGIN")
    try:
        row = connection.execute(
            f"SELECT count(*), epoch_ns(min(time)), epoch_ns(max(time)) FROM recent.{quoted(measurement)} WHERE {where}"
        ).fetchone()
        if row is None or not row[0]:
            connection.execute("ROLLBACK")
            return None
        folder = cold / quote(measurement, safe="")
        folder.mkdir(parents=True, exist_ok=True)
        path = _free_path(folder, date)
        temporary = path.with_suffix(".tmp")
        order = ", ".join([*(quoted(tag) for tag in tags), "time"])
        connection.execute(
            f"COPY (SELECT * FROM recent.{quoted(measurement)} WHERE {where} ORDER BY {order})"
            f" TO {literal(str(temporary.resolve()))}"
            f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP_ROWS})"
        )
        step("copied")
        _fsync(temporary)
        temporary.rename(path)
        _fsync(folder)
        step("renamed")
        with lock:
            connection.execute(f"DELETE FROM recent.{quoted(measurement)} WHERE {where}")
            connection.execute(
                "INSERT INTO meta.cold VALUES (?, ?, ?, ?, ?, ?)",
                [measurement, date, str(path.relative_to(cold)), *row],
            )
            rebuild_view(connection, measurement, cold)
            step("deleted")
            connection.execute("COMMIT")
        step("committed")
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
    return Rolled(measurement, str(path.relative_to(cold)), int(row[0]))


def tidy(connection: duckdb.DuckDBPyConnection, cold: Path) -> None:
    """Remove files that no commit names; when the hot file itself is new, take them up instead."""
    named = {path for (path,) in connection.execute("SELECT path FROM meta.cold").fetchall()}
    schema = Schema.read(connection)
    new_database = not schema.tables
    adopted: list[tuple[str, Path]] = []
    for path in sorted(cold.rglob("*")):
        if path.is_dir() or str(path.relative_to(cold)) in named:
            continue
        if path.suffix == ".parquet" and new_database:
            adopted.append((unquote(path.parent.name), path))
        else:
            path.unlink()
    if not adopted:
        return
    connection.execute("BEGIN")
    for measurement, path in adopted:
        _adopt(connection, schema, measurement, path, cold)
    schema.apply(connection, cold)
    connection.execute("COMMIT")


def _adopt(
    connection: duckdb.DuckDBPyConnection, schema: Schema, measurement: str, path: Path, cold: Path
) -> None:
    file = str(path.resolve())
    table = schema.tables.get(measurement.lower()) or schema.add_table(measurement)
    for name, sql_type, *_ in connection.execute(
        "DESCRIBE SELECT * FROM read_parquet(?)", [file]
    ).fetchall():
        if name != "time" and name.lower() not in table.columns:
            schema.add_column(table, name, sql_type, kind_of(name))
    connection.execute(
        "INSERT INTO meta.cold SELECT ?, ?, ?, count(*), epoch_ns(min(time)), epoch_ns(max(time))"
        " FROM read_parquet(?)",
        [measurement, path.stem.partition(".")[0], str(path.relative_to(cold)), file],
    )


def _free_path(folder: Path, date: str) -> Path:
    number = 0
    while (path := folder / f"{date}.{number:03d}.parquet").exists():
        number += 1
    return path


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
