"""At a start: files that no commit names go; when the hot file itself is new, those that count are taken up instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import duckdb

from cloud.stores.local.cold_files import enter, number_of, origin_of
from cloud.stores.local.names import kind_of
from cloud.stores.local.retention import is_sample_name
from cloud.stores.local.schema import Schema
from cloud.stores.local.views import rebuild_sample_view


@dataclass(frozen=True, slots=True)
class Found:
    """A file of one day; see `Origin`."""

    path: str
    made_of: tuple[str, ...] = ()
    parts: int = 1
    ever: frozenset[str] = frozenset()


def tidy(connection: duckdb.DuckDBPyConnection, cold: Path) -> None:
    """Leave only files that are listed; a new hot file gets a list first."""
    if not Schema.read(connection).tables:
        _take_up(connection, cold)
    named = {path for (path,) in connection.execute("SELECT path FROM meta.cold").fetchall()}
    for path in sorted(cold.rglob("*")):
        if path.is_file() and str(path.relative_to(cold)) not in named:
            path.unlink()


def that_count(files: Sequence[Found]) -> list[Found]:
    """Of the files of one day and measurement those that hold each row once. Pure."""
    there = {one.path for one in files}
    gone: set[str] = set()
    for one in sorted(files, key=lambda f: number_of(f.path)):
        if not one.made_of:
            continue
        siblings = [f for f in files if f.made_of == one.made_of]
        if len(siblings) == one.parts:
            gone.update(one.made_of)
        elif set(one.made_of) <= there:  # it was killed before its last part
            gone.update(f.path for f in siblings)
    return [one for one in files if one.path not in gone]


def newest(files: Sequence[Found]) -> list[Found]:
    """Of the bins of one day those that were made last. Pure."""
    whole = [
        f for f in files if sum(other.made_of == f.made_of for other in files) == f.parts
    ] or list(files)
    last = max(whole, key=lambda f: number_of(f.path))
    return [f for f in whole if f.made_of == last.made_of]


def _take_up(connection: duckdb.DuckDBPyConnection, cold: Path) -> None:
    days: dict[tuple[str, str], list[Found]] = {}
    for path in sorted(cold.rglob("*.parquet")):
        measurement, date = unquote(path.parent.name), path.name.partition(".")[0]
        days.setdefault((measurement, date), []).append(_found(connection, path, cold))
    if not days:
        return
    connection.execute("BEGIN")
    schema = Schema.read(connection)
    for (measurement, date), files in days.items():
        if is_sample_name(measurement):
            continue
        days[measurement, date] = that_count(files)
        for one in days[measurement, date]:
            _add(connection, schema, measurement, cold / one.path)
            enter(connection, cold, measurement, date, one.path)
    schema.apply(connection, cold)
    for (name, date), files in days.items():
        if is_sample_name(name):
            measurement = name.rpartition("_")[0]
            bins = newest(files)
            for one in bins:
                enter(connection, cold, name, date, one.path)
            connection.execute(
                "INSERT INTO meta.sampled VALUES (?, ?, ?, ?)",
                [
                    name,
                    measurement,
                    date,
                    in_todays_names(bins[0], days.get((measurement, date), [])),
                ],
            )
            rebuild_sample_view(connection, name, cold)
    connection.execute("COMMIT")


def in_todays_names(bins: Found, rows: Sequence[Found]) -> list[str]:
    """What the bins were made of, where files were merged into others since. Pure."""
    made_of = set(bins.made_of)
    for one in rows:
        if one.ever & made_of:
            made_of = made_of - one.ever | {f.path for f in rows if f.ever == one.ever}
    return sorted(made_of)


def _found(connection: duckdb.DuckDBPyConnection, path: Path, cold: Path) -> Found:
    name = str(path.relative_to(cold))
    origin = origin_of(connection, cold, name)
    if origin is None:
        return Found(name)
    return Found(name, tuple(origin.of), origin.parts, frozenset(origin.ever))


def _add(
    connection: duckdb.DuckDBPyConnection, schema: Schema, measurement: str, path: Path
) -> None:
    table = schema.tables.get(measurement.lower()) or schema.add_table(measurement)
    for name, sql_type, *_ in connection.execute(
        "DESCRIBE SELECT * FROM read_parquet(?)", [str(path.resolve())]
    ).fetchall():
        if name != "time" and name.lower() not in table.columns:
            schema.add_column(table, name, sql_type, kind_of(name))
