"""Values into rows that are stored without them."""

from __future__ import annotations

from pathlib import Path

import duckdb

from cloud.query.line_protocol import FieldValue
from cloud.stores import Column, Rejected
from cloud.stores.local.plan import Accepted
from cloud.stores.local.points import Rows, merge_points
from cloud.stores.local.schema import Table


def fill_rows(
    connection: duckdb.DuckDBPyConnection, table: Table, accepted: list[Accepted], cold: Path
) -> list[Rejected]:
    """Merge the columns of `accepted` by series and time, in the caller's transaction; what is archived is told."""
    rows = Rows(table)
    places: list[tuple[int, int, str]] = []  # line -> block, row, column
    for part in accepted:
        block = part.block
        tags = (("device", block.device), ("site", block.site))
        columns = {name: block.columns[name] for name in part.columns}
        columns |= {f"{name}_raw": block.raw[name] for name in part.raw}
        for row, (time_ns, seq) in enumerate(
            zip(block.time_ns.tolist(), block.seq.tolist(), strict=True)
        ):
            values: dict[str, FieldValue] = {
                "gateway": block.gateway,
                "stream": block.stream,
                "seq": seq,
            }
            for name, column in columns.items():
                values |= _cell(name, column, row)
            rows.by_key.setdefault((time_ns, tags), {}).update(values)
            rows.lines[time_ns, tags] = len(places)
            places.append((part.index, row, ",".join(part.columns)))
    _, archived = merge_points(connection, rows, cold)
    return [Rejected(*places[bad.line], bad.reason) for bad in archived]


def _cell(name: str, column: Column, row: int) -> dict[str, FieldValue]:
    if column.valid is not None and not column.valid[row]:
        return {}
    value: FieldValue = column.values[row].item() if column.type != "s" else column.values[row]
    if name.endswith("_raw"):
        return {name: value}
    return {name: value, f"{name}_q": 0 if column.quality is None else int(column.quality[row])}
