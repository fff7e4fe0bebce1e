"""A result as text or as a file: table for people; csv, json, jsonl and parquet as InfluxDB 3 answers them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cloud.query.result import Cell, CellType, QueryResult, ResultColumn

Format = Literal["table", "csv", "json", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("table", "csv", "json", "jsonl", "parquet")
MEDIA: dict[Format, str] = {
    "table": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z?")
_TO_THE_SECOND = len("2026-01-01T00:00:00")
_JSON = json.JSONEncoder(ensure_ascii=False)  # one for all rows: making one costs more than a row
_SQL: dict[CellType, str] = {
    "timestamp_ns": "TIMESTAMP_NS",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "varchar": "VARCHAR",
}


def render(result: QueryResult, form: Format) -> bytes:
    """The whole result in one of `FORMATS`."""
    if form == "parquet":
        return _parquet(result)
    if form == "table":
        return _table(result).encode()
    names = [column.name for column in result.columns]
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(_rows(result))
        return out.getvalue().encode()
    objects = (dict(zip(names, row, strict=True)) for row in _rows(result))
    if form == "jsonl":
        return "".join(f"{_JSON.encode(o)}\n" for o in objects).encode()
    return _JSON.encode(list(objects)).encode()


def iso_time(time_ns: int) -> str:
    """ISO 8601 in UTC without a zone, as InfluxDB 3 prints it; a fraction only where there is one."""
    seconds, fraction = divmod(time_ns, 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).isoformat()[:_TO_THE_SECOND]
    return f"{whole}.{fraction:09d}".rstrip("0") if fraction else whole


def from_answer(answer: Mapping[str, Any]) -> QueryResult:
    """The result out of `QueryResult.as_dict`."""
    return QueryResult(
        [ResultColumn(str(c["name"]), c["type"]) for c in answer["columns"]],
        [list(column) for column in answer["data"]],
        bool(answer.get("truncated")),
    )


def from_rows(
    columns: list[dict[str, Any]], rows: list[dict[str, Any]], *, truncated: bool
) -> QueryResult:
    """The result out of rows as the HTTP door prints them; `columns` with names and types, if it told them."""
    if not columns:
        columns = [{"name": name, "type": "varchar"} for name in (rows[0] if rows else ())]
    kinds = [ResultColumn(str(c["name"]), c["type"]) for c in columns]
    data = [[_told(row.get(c.name), c.type) for row in rows] for c in kinds]
    return QueryResult(kinds, data, truncated)


def time_ns(text: str) -> int | None:
    """The reverse of `iso_time`; None for any other text."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    whole = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    return int(whole.timestamp()) * 10**9 + int((found[2] or "").ljust(9, "0"))


def _told(cell: Cell, kind: CellType) -> Cell:
    return time_ns(cell) if kind == "timestamp_ns" and isinstance(cell, str) else cell


def _rows(result: QueryResult) -> Iterator[list[Cell]]:
    kinds = [column.type for column in result.columns]
    for cells in zip(*result.data, strict=True):
        yield [_cell(cell, kind) for cell, kind in zip(cells, kinds, strict=True)]


def _cell(cell: Cell, kind: CellType) -> Cell:
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if kind == "timestamp_ns" and isinstance(cell, int):
        return iso_time(cell)
    return cell


def _table(result: QueryResult) -> str:
    from tocsin.cli.output import table

    rows = [["" if cell is None else _shown(cell) for cell in row] for row in _rows(result)]
    return table([column.name for column in result.columns], rows) + "\n"


def _shown(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell).replace("\n", "\\n")


def _parquet(result: QueryResult) -> bytes:
    import duckdb

    names = [f"c{i}" for i in range(len(result.columns))]
    casts = []
    for name, column in zip(names, result.columns, strict=True):
        value = f"make_timestamp_ns({name})" if column.type == "timestamp_ns" else name
        label = column.name.replace('"', '""')
        casts.append(f'{value}::{_SQL[column.type]} AS "{label}"')
    definition = ", ".join(
        f"{name} {'BIGINT' if column.type == 'timestamp_ns' else _SQL[column.type]}"
        for name, column in zip(names, result.columns, strict=True)
    )
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        path = Path(folder) / "result.parquet"
        connection.execute(f"CREATE TABLE result ({definition})")
        if result.rows:
            connection.register("incoming", _arrays(names, result))
            connection.execute("INSERT INTO result SELECT * FROM incoming")
        connection.execute(
            f"COPY (SELECT {', '.join(casts)} FROM result) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )
        return path.read_bytes()


def _arrays(names: list[str], result: QueryResult) -> dict[str, Any]:
    import numpy as np

    dtypes: dict[CellType, Any] = {
        "timestamp_ns": np.int64,
        "bigint": np.int64,
        "double": np.float64,
        "boolean": np.bool_,
        "varchar": object,
    }
    arrays: dict[str, Any] = {}
    for name, column, cells in zip(names, result.columns, result.data, strict=True):
        if column.type == "varchar":
            text = np.empty(len(cells), dtype=object)
            text[:] = cells
            arrays[name] = text
            continue
        mask = np.array([cell is None for cell in cells], np.bool_)
        filled = np.array([0 if c is None else c for c in cells], dtypes[column.type])
        arrays[name] = np.ma.masked_array(filled, mask)
    return arrays
