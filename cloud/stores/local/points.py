"""Points by line protocol: a point with the same series and time overwrites the fields it names, as in InfluxDB."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from cloud.query.line_protocol import BadLine, FieldType, FieldValue, Point
from cloud.stores.local.cold_files import DAY_NS
from cloud.stores.local.names import FIXED, SQL_TYPES, TYPE_WORDS, Kind, is_foreign_name, quoted
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.plan import MAX_NS, MIN_NS
from cloud.stores.local.retention import is_reserved, rule_of
from cloud.stores.local.schema import Schema, Table
from tocsin.contract.catalogue import find

_SOURCE = "incoming_points"
_FITS = {"UTINYINT": "i", "TIMESTAMP_NS": "i"} | {sql: code for code, sql in SQL_TYPES.items()}
_DTYPES: dict[str, Any] = {
    "DOUBLE": np.float64,
    "BIGINT": np.int64,
    "UBIGINT": np.uint64,
    "BOOLEAN": np.bool_,
    "VARCHAR": object,
    "UTINYINT": np.uint8,
    "TIMESTAMP_NS": np.int64,
}


@dataclass(slots=True)
class Rows:
    """Points of one measurement by (time, tags), later ones merged over earlier ones."""

    table: Table
    by_key: dict[tuple[int, tuple[tuple[str, str], ...]], dict[str, FieldValue]] = field(
        default_factory=dict
    )
    lines: dict[tuple[int, tuple[tuple[str, str], ...]], int] = field(default_factory=dict)


def plan_points(
    points: Iterable[Point], schema: Schema, options: LocalOptions, now_ns: int
) -> tuple[dict[str, Rows], list[BadLine]]:
    """(measurement -> rows to merge, lines that do not fit)."""
    rows: dict[str, Rows] = {}
    bad: list[BadLine] = []
    for point in points:
        try:
            table = _table(point, schema, options)
            for key, _ in point.tags:
                _tag(table, key, schema)
            values = {
                _field(table, key, kind, value, schema, options): value
                for key, (kind, value) in point.fields.items()
            }
        except ValueError as exc:
            bad.append(BadLine(point.line, str(exc)))
            continue
        time_ns = now_ns if point.time_ns is None else point.time_ns
        if not MIN_NS <= time_ns <= MAX_NS:
            bad.append(BadLine(point.line, "timestamp out of range"))
            continue
        day_end_ns = (time_ns // DAY_NS + 1) * DAY_NS
        if rule_of(options.retention, table.name).is_raw_over(day_end_ns, now_ns):
            bad.append(BadLine(point.line, f"older than '{table.name}' is kept"))
            continue
        into = rows.setdefault(table.name, Rows(table))
        into.by_key.setdefault((time_ns, point.tags), {}).update(values)
        into.lines[time_ns, point.tags] = point.line
    return rows, bad


def _table(point: Point, schema: Schema, options: LocalOptions) -> Table:
    table = schema.tables.get(point.measurement.lower())
    if table is None:
        if not is_foreign_name(point.measurement):
            raise ValueError(f"measurement name {point.measurement[:70]!r} cannot be stored")
        if is_reserved(point.measurement):
            raise ValueError(
                f"measurement name '{point.measurement}' is kept for a table of the store itself"
            )
        if len(schema.tables) >= options.max_measurements:
            raise ValueError(f"the store holds {options.max_measurements} measurements already")
        return schema.add_table(point.measurement)
    if table.name != point.measurement:
        raise ValueError(
            f"measurement '{point.measurement}' differs only in case from '{table.name}'"
        )
    return table


def _tag(table: Table, key: str, schema: Schema) -> None:
    column = table.columns.get(key.lower())
    if column is None:
        if key == "time" or (key in FIXED and FIXED[key][1] is not Kind.TAG):
            raise ValueError(f"'{key}' cannot be a tag")
        if not is_foreign_name(key):
            raise ValueError(f"tag name {key[:70]!r} cannot be stored")
        if table.count(Kind.TAG) >= 64:
            raise ValueError(f"measurement '{table.name}' has 64 tags already")
        schema.add_column(table, key, "VARCHAR", Kind.TAG)
    elif column.kind is not Kind.TAG or column.name != key:
        raise ValueError(f"'{key}' is a field of '{table.name}', not a tag")


def _field(
    table: Table,
    key: str,
    code: FieldType,
    value: FieldValue,
    schema: Schema,
    options: LocalOptions,
) -> str:
    column = table.columns.get(key.lower())
    if column is None:
        known = find(table.name, key)
        if known is not None and known.type != code:
            raise ValueError(_conflict(key, known.type, code))
        if key in FIXED and FIXED[key][1] is Kind.ORIGIN and _FITS[FIXED[key][0]] == code:
            schema.ensure_fixed(table, key)
            return key
        if key == "time" or key in FIXED or not is_foreign_name(key):
            raise ValueError(f"field name {key[:70]!r} cannot be stored")
        if table.count(Kind.FIELD) >= options.max_columns:
            raise ValueError(f"'{table.name}' has {options.max_columns} fields already")
        schema.add_column(table, key, SQL_TYPES[code], Kind.FIELD)
        return key
    if column.kind is Kind.TAG or column.name != key:
        raise ValueError(f"'{key}' is another column of '{table.name}'")
    if _FITS[column.type] != code:
        raise ValueError(_conflict(key, _FITS[column.type], code))
    if column.type == "UTINYINT" and not 0 <= int(value) <= 255:
        raise ValueError(f"field '{key}' is a quality code from 0 to 127")
    return key


def _conflict(key: str, here: str, code: str) -> str:
    return f"field '{key}' is {TYPE_WORDS[here]} here, the line says {TYPE_WORDS[code]}"


def merge_points(
    connection: duckdb.DuckDBPyConnection, rows: Rows, cold: Path
) -> tuple[int, list[BadLine]]:
    """(rows written, lines whose row is already archived with other values), in the caller's transaction."""
    table = rows.table
    tags = table.tags
    names = list(dict.fromkeys(name for values in rows.by_key.values() for name in values))
    connection.register(_SOURCE, _arrays(rows, tags, names))
    try:
        archived = _archived(connection, rows, tags, names, cold)
        select = ", ".join(
            ["make_timestamp_ns(time) AS time", *map(quoted, tags)]
            + [
                f"make_timestamp_ns({quoted(n)}) AS {quoted(n)}"
                if table.columns[n.lower()].type == "TIMESTAMP_NS"
                else quoted(n)
                for n in names
            ]
        )
        same = " AND ".join(
            [
                "t.time = s.time",
                *(f"t.{quoted(t)} IS NOT DISTINCT FROM s.{quoted(t)}" for t in tags),
            ]
        )
        sets = ", ".join(f"{quoted(n)} = coalesce(s.{quoted(n)}, t.{quoted(n)})" for n in names)
        columns = ["time", *tags, *names]
        connection.execute(
            f"MERGE INTO recent.{quoted(table.name)} AS t"
            f" USING (SELECT {select} FROM {_SOURCE} WHERE NOT skip) AS s ON {same}"
            f" WHEN MATCHED THEN UPDATE SET {sets}"
            f" WHEN NOT MATCHED THEN INSERT ({', '.join(map(quoted, columns))})"
            f" VALUES ({', '.join(f's.{quoted(c)}' for c in columns)})"
        )
    except duckdb.Error:
        with suppress(duckdb.Error):  # an aborted transaction refuses it, and hides the cause
            connection.unregister(_SOURCE)
        raise
    connection.unregister(_SOURCE)
    return len(rows.by_key) - len(archived), archived


def _arrays(rows: Rows, tags: list[str], names: list[str]) -> dict[str, Any]:
    n = len(rows.by_key)
    arrays: dict[str, Any] = {
        "time": np.fromiter((time for time, _ in rows.by_key), np.int64, n),
        "skip": np.zeros(n, np.bool_),
    }
    maps = [dict(pairs) for _, pairs in rows.by_key]
    for tag in tags:
        arrays[tag] = np.array([pairs.get(tag) for pairs in maps], dtype=object)
    for name in names:
        dtype = _DTYPES[rows.table.columns[name.lower()].type]
        cells = [values.get(name) for values in rows.by_key.values()]
        if dtype is object:
            column = np.empty(n, dtype=object)
            column[:] = cells
            arrays[name] = column
            continue
        mask = np.array([cell is None for cell in cells], np.bool_)
        filled = np.array([0 if cell is None else cell for cell in cells], dtype)
        arrays[name] = np.ma.masked_array(filled, mask) if mask.any() else filled
    return arrays


def _archived(
    connection: duckdb.DuckDBPyConnection,
    rows: Rows,
    tags: list[str],
    names: list[str],
    cold: Path,
) -> list[BadLine]:
    """Lines whose row lies in Parquet with other values. A repeat of what is there is left out without a word."""
    times = [time for time, _ in rows.by_key]
    files = connection.execute(
        "SELECT path FROM meta.cold WHERE measurement = ? AND t_min <= ? AND t_max >= ?",
        [rows.table.name, max(times), min(times)],
    ).fetchall()
    if not files:
        return []
    paths = ", ".join("'" + str(cold.resolve() / p).replace("'", "''") + "'" for (p,) in files)
    there = {
        str(row[0]).lower()
        for row in connection.execute(
            f"DESCRIBE SELECT * FROM read_parquet([{paths}], union_by_name = true)"
        ).fetchall()
    }
    known_tags = [t for t in tags if t.lower() in there]
    on = " AND ".join(
        ["epoch_ns(c.time) = s.time"]
        + [f"c.{quoted(t)} IS NOT DISTINCT FROM s.{quoted(t)}" for t in known_tags]
        + [f"s.{quoted(t)} IS NULL" for t in tags if t not in known_tags]
    )
    equal = " AND ".join(
        f"(s.{quoted(n)} IS NULL OR s.{quoted(n)} IS NOT DISTINCT FROM {_comparable(rows.table, n)})"
        if n.lower() in there
        else f"s.{quoted(n)} IS NULL"
        for n in names
    )
    keys = list(rows.by_key)
    index = {key: i for i, key in enumerate(keys)}
    columns = ", ".join(f"s.{quoted(t)}" for t in tags)
    found = connection.execute(
        f"SELECT s.time, {equal or 'true'}{', ' + columns if columns else ''} FROM {_SOURCE} s"
        f" JOIN read_parquet([{paths}], union_by_name = true) c ON {on}"
    ).fetchall()
    bad: list[BadLine] = []
    arrays = _arrays(rows, tags, names)
    for time_ns, same, *values in found:
        key = (
            time_ns,
            tuple(sorted((t, v) for t, v in zip(tags, values, strict=True) if v is not None)),
        )
        arrays["skip"][index[key]] = True
        if not same:
            bad.append(BadLine(rows.lines[key], "its row is archived already and cannot change"))
    connection.unregister(_SOURCE)
    connection.register(_SOURCE, arrays)
    return bad


def _comparable(table: Table, name: str) -> str:
    column = f"c.{quoted(name)}"
    return f"epoch_ns({column})" if table.columns[name.lower()].type == "TIMESTAMP_NS" else column
