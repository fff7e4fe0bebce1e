"""What of a write can be stored: names and types checked against the schema, additions noted in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloud.stores import Block, Rejected
from cloud.stores.local.names import SQL_TYPES, TYPE_WORDS, Kind
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.retention import is_reserved
from cloud.stores.local.schema import Schema, Table
from tocsin.contract.catalogue import find, is_identifier

MIN_NS = -9_223_286_400_000_000_000  # 1677-09-22, the first day of TIMESTAMP_NS
MAX_NS = 9_223_372_036_854_775_805


@dataclass(slots=True)
class Accepted:
    """One block of a write (`index`) with the columns of it that fit; `keep` selects rows, None all of them."""

    index: int
    block: Block
    columns: list[str]
    raw: list[str]
    keep: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None


def plan(
    blocks: list[Block], schema: Schema, options: LocalOptions
) -> tuple[dict[str, list[Accepted]], list[Rejected]]:
    """(measurement -> blocks to insert, what will never be accepted)."""
    accepted: dict[str, list[Accepted]] = {}
    rejected: list[Rejected] = []
    for index, block in enumerate(blocks):
        table = schema.tables.get(block.measurement)
        if table is None:
            reason = _refuse_table(block.measurement, schema, options)
            if reason:
                rejected.append(Rejected(index, None, None, reason))
                continue
            table = schema.add_table(block.measurement)
        schema.ensure_fixed(table, "site", "device", "gateway", "stream", "seq", "source_time")
        columns: list[str] = []
        raw: list[str] = []
        for name, column in block.columns.items():
            reason = _admit(schema, table, name, column.type, options)
            if reason:
                rejected.append(Rejected(index, None, name, reason))
                continue
            columns.append(name)
            if name in block.raw:
                reason = _admit_raw(schema, table, f"{name}_raw", block.raw[name].type)
                if reason:
                    rejected.append(Rejected(index, None, f"{name}_raw", reason))
                else:
                    raw.append(name)
        keep = _rows_in_range(block, index, rejected)
        accepted.setdefault(block.measurement, []).append(
            Accepted(index, block, columns, raw, keep)
        )
    return accepted, rejected


def _refuse_table(name: str, schema: Schema, options: LocalOptions) -> str:
    if not is_identifier(name):
        return f"bad-name: {name!r} cannot name a measurement"
    if is_reserved(name):
        return f"bad-name: {name!r} is kept for a table of the store itself"
    if len(schema.tables) >= options.max_measurements:
        return f"too-many-measurements: {options.max_measurements} are in use"
    return ""


def _admit(schema: Schema, table: Table, name: str, code: str, options: LocalOptions) -> str:
    if name not in table.columns:
        if not is_identifier(name):
            return f"bad-name: {name!r} cannot name a quantity"
        known = find(table.name, name)
        if known is not None and known.type != code:
            return _conflict(name, known.type, code)
        if table.count(Kind.FIELD) >= options.max_columns:
            return f"too-many-columns: {table.name} has {options.max_columns} quantities"
        schema.add_column(table, name, SQL_TYPES[code], Kind.FIELD)
    elif table.columns[name].type != SQL_TYPES[code]:
        return _conflict(name, table.columns[name].type, code)
    if f"{name}_q" not in table.columns:
        schema.add_column(table, f"{name}_q", "UTINYINT", Kind.QUALITY)
    return ""


def _admit_raw(schema: Schema, table: Table, name: str, code: str) -> str:
    if name not in table.columns:
        schema.add_column(table, name, SQL_TYPES[code], Kind.RAW)
    elif table.columns[name].type != SQL_TYPES[code]:
        return _conflict(name, table.columns[name].type, code)
    return ""


def _conflict(name: str, here: str, code: str) -> str:
    words = {sql: TYPE_WORDS[c] for c, sql in SQL_TYPES.items()} | TYPE_WORDS
    return (
        f"type-conflict: {name} is {words.get(here, here)} here, the block says {TYPE_WORDS[code]}"
    )


def _rows_in_range(
    block: Block, index: int, rejected: list[Rejected]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
    times = block.time_ns
    if not len(times) or (times.min() >= MIN_NS and times.max() <= MAX_NS):
        return None
    keep: np.ndarray[tuple[int], np.dtype[np.bool_]] = (times >= MIN_NS) & (times <= MAX_NS)
    rejected.extend(
        Rejected(index, int(row), None, f"bad-time: {int(times[row])} ns is outside 1677 to 2262")
        for row in np.flatnonzero(~keep)
    )
    return keep
