"""A query's columns as InfluxDB 3 prints rows: json, jsonl, csv. Times are ISO 8601 UTC with nanoseconds."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime

from cloud.api.rows import Row, rows_of, text

MEDIA = {"json": "application/json", "jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}


def render(result: Row, form: str) -> bytes:
    """The result in one of the forms of `MEDIA`."""
    names = [text(c, "name") for c in rows_of(result.get("columns"))]
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(_rows(result))
        return out.getvalue().encode()
    objects = (
        json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in _rows(result)
    )
    if form == "jsonl":
        return "".join(f"{o}\n" for o in objects).encode()
    return f"[{','.join(objects)}]".encode()


def iso_time(time_ns: int) -> str:
    """As InfluxDB 3 prints a time: no zone (it is UTC), fraction only where there is one."""
    seconds, fraction = divmod(time_ns, 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{fraction:09d}".rstrip("0") if fraction else whole


def _rows(result: Row) -> Iterator[list[object]]:
    types = [text(c, "type") for c in rows_of(result.get("columns"))]
    data = result.get("data")
    columns = data if isinstance(data, list) else []
    for cells in zip(*columns, strict=True):
        yield [_cell(cell, kind) for cell, kind in zip(cells, types, strict=True)]


def _cell(cell: object, kind: str) -> object:
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if kind == "timestamp_ns" and isinstance(cell, int):
        return iso_time(cell)
    return cell
