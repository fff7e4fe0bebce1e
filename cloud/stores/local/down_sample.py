"""Bins of a minute or an hour, made by day from the cold rows, in a table of their own: `gas_1m`, `gas_1h`.

`meta.sampled` says of each day which files went into its bins. New files of the day make them anew; where rows of the
day were deleted meanwhile, what came later is added to the bins that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from cloud.stores.local.cold_files import (
    Origin,
    Step,
    cut,
    enter,
    leave,
    new_path,
    scan,
    write_file,
)
from cloud.stores.local.names import Kind, quoted
from cloud.stores.local.retention import STEPS_S
from cloud.stores.local.schema import Table
from cloud.stores.local.transaction import transaction
from cloud.stores.local.views import rebuild_sample_view
from tocsin.contract.quality import Quality

PART_ROWS = 4_000_000


@dataclass(frozen=True, slots=True)
class _Field:
    """A column to be sampled. Of text only the last value, how many and how many bad."""

    name: str
    is_text: bool
    has_quality: bool


def sampled_days(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], set[str]]:
    """(table, date) -> the files its bins were made of."""
    return {
        (name, str(day)): set(made_of)
        for name, day, made_of in connection.execute(
            "SELECT name, day, made_of FROM meta.sampled"
        ).fetchall()
    }


def sample_day(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    suffix: str,
    date: str,
    files: Sequence[str],
    made_of: set[str],
    *,
    cold: Path,
    lock: AbstractContextManager[object],
    step: Step,
) -> tuple[set[str], list[str]]:
    """Make the bins of one day of `files`, all that are listed of it; `made_of` is what they were made of so far.

    What they are made of now, and the files of bins that this replaces.
    """
    name = f"{table.name}_{suffix}"
    old = _listed(connection, name, date)
    grows = bool(made_of - set(files)) and bool(old)  # rows of these bins are gone
    news = scan(cold, sorted(set(files) - made_of) if grows else files)
    there = _columns(connection, f"SELECT * FROM {news}")
    tags = [tag for tag in table.tags if tag.lower() in there]
    fields = _fields(table, there)
    conditions = ["true"] if grows else cut(connection, news, tags, PART_ROWS)
    union = sorted({*made_of, *files}) if grows else sorted(files)
    made: list[str] = []
    for condition in conditions:
        select = _bins(f"{news} WHERE {condition}", tags, fields, STEPS_S[suffix])
        if grows:
            both = (
                f"SELECT 0 AS origin_, * FROM {scan(cold, old)}"
                f" UNION ALL BY NAME SELECT 1 AS origin_, * FROM ({select})"
            )
            select = _added(both, table, _columns(connection, both))
        path = new_path(connection, cold, name, date)
        write_file(connection, select, cold / path, step, Origin(union, len(conditions), union))
        made.append(path)
    with lock, transaction(connection):
        leave(connection, old)
        for path in made:
            enter(connection, cold, name, date, path)
        connection.execute("DELETE FROM meta.sampled WHERE name = ? AND day = ?", [name, date])
        connection.execute(
            "INSERT INTO meta.sampled VALUES (?, ?, ?, ?)", [name, table.name, date, union]
        )
        rebuild_sample_view(connection, name, cold)
        step("listed")
    step("committed")
    return set(union), old


def _listed(connection: duckdb.DuckDBPyConnection, name: str, date: str) -> list[str]:
    found = connection.execute(
        "SELECT path FROM meta.cold WHERE measurement = ? AND day = ? ORDER BY path",
        [name, date],
    ).fetchall()
    return [str(path) for (path,) in found]


def _columns(connection: duckdb.DuckDBPyConnection, select: str) -> set[str]:
    return {str(row[0]).lower() for row in connection.execute(f"DESCRIBE {select}").fetchall()}


def _fields(table: Table, there: set[str]) -> list[_Field]:
    return [
        _Field(column.name, column.type == "VARCHAR", f"{key}_q" in there)
        for key, column in table.columns.items()
        if column.kind is Kind.FIELD and key in there
    ]


def _bins(source: str, tags: Sequence[str], fields: Sequence[_Field], step_s: int) -> str:
    """Per series and bin; what has bad quality counts as bad and for nothing else."""
    step_ns = step_s * 10**9
    start = f"make_timestamp_ns(epoch_ns(time) // {step_ns} * {step_ns})"
    columns = [f"{start} AS time", *map(quoted, tags)]
    for f in fields:
        value = quoted(f.name)
        bad = f"{quoted(f'{f.name}_q')} >= {int(Quality.BAD)}" if f.has_quality else "false"
        good = f"FILTER ({value} IS NOT NULL AND coalesce({bad}, false) = false)"
        told = {"last": f"arg_max({value}, time) {good}", "count": f"(count(*) {good})::UINTEGER"}
        told["bad"] = f"(count(*) FILTER ({bad}))::UINTEGER"
        if not f.is_text:
            told = {
                "mean": f"avg({value}::DOUBLE) {good}",
                "min": f"min({value}) {good}",
                "max": f"max({value}) {good}",
                **told,
            }
        columns += [f"{sql} AS {quoted(f'{f.name}_{what}')}" for what, sql in told.items()]
    keys = ", ".join([start, *map(quoted, tags)])
    order = ", ".join([*map(quoted, tags), "1"])
    return f"SELECT {', '.join(columns)} FROM {source} GROUP BY {keys} ORDER BY {order}"


def _added(both: str, table: Table, there: set[str]) -> str:
    """Bins of `both` that are one: `origin_` 0 was there first, and its last value stays."""
    tags = [quoted(tag) for tag in table.tags if tag.lower() in there]
    columns = ["time", *tags]
    for column in table.columns.values():
        mean, low, high, last, count, bad = (
            quoted(f"{column.name}_{what}")
            for what in ("mean", "min", "max", "last", "count", "bad")
        )
        if column.kind is not Kind.FIELD or f"{column.name}_count".lower() not in there:
            continue
        if f"{column.name}_mean".lower() in there:
            columns += [
                f"sum({mean} * {count}) / nullif(sum({count}), 0) AS {mean}",
                f"min({low}) AS {low}",
                f"max({high}) AS {high}",
            ]
        columns += [
            f"arg_min({last}, origin_) FILTER ({last} IS NOT NULL) AS {last}",
            f"coalesce(sum({count}), 0)::UINTEGER AS {count}",
            f"coalesce(sum({bad}), 0)::UINTEGER AS {bad}",
        ]
    keys = ", ".join(["time", *tags])
    return f"SELECT {', '.join(columns)} FROM ({both}) GROUP BY {keys} ORDER BY {', '.join([*tags, 'time'])}"
