"""Blocks of one measurement -> numpy columns -> one INSERT."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from cloud.stores import NO_TIME, Block, Column
from cloud.stores.local.names import quoted
from cloud.stores.local.plan import Accepted
from tocsin.contract.quality import Quality

_SOURCE = "incoming"
_DTYPES: dict[str, npt.DTypeLike] = {"f": np.float64, "i": np.int64, "b": np.bool_, "s": object}
_Array = npt.NDArray[Any]


def insert(
    connection: duckdb.DuckDBPyConnection, measurement: str, accepted: list[Accepted]
) -> None:
    """Insert all rows of `accepted` inside the caller's transaction."""
    blocks = [a.block for a in accepted]
    counts = [len(b.time_ns) for b in blocks]
    arrays: dict[str, _Array] = {
        "time": np.concatenate([b.time_ns for b in blocks]).view("datetime64[ns]"),
        "seq": np.concatenate([b.seq for b in blocks]),
        "source_time": np.concatenate(
            [
                np.full(n, NO_TIME) if b.source_ns is None else b.source_ns
                for b, n in zip(blocks, counts, strict=True)
            ]
        ).view("datetime64[ns]"),
    }
    for name in ("site", "device", "gateway", "stream"):
        texts = np.array([getattr(b, name) for b in blocks], dtype=object)
        arrays[name] = np.repeat(texts, counts)
    selected = {name: quoted(name) for name in arrays}
    for name in dict.fromkeys(name for a in accepted for name in a.columns):
        parts = [a.block.columns[name] if name in a.columns else None for a in accepted]
        arrays[name] = _values(parts, counts)
        selected[name] = quoted(name)
        quality = _quality(parts, counts, arrays[name])
        if quality is None:
            selected[f"{name}_q"] = f"if({quoted(name)} IS NULL, NULL, 0::UTINYINT)"
        else:
            arrays[f"{name}_q"] = quality
            selected[f"{name}_q"] = quoted(f"{name}_q")
    for name in dict.fromkeys(name for a in accepted for name in a.raw):
        parts = [a.block.raw[name] if name in a.raw else None for a in accepted]
        arrays[f"{name}_raw"] = _values(parts, counts)
        selected[f"{name}_raw"] = quoted(f"{name}_raw")
    if any(a.keep is not None for a in accepted):
        keep = np.concatenate(
            [
                np.ones(n, np.bool_) if a.keep is None else a.keep
                for a, n in zip(accepted, counts, strict=True)
            ]
        )
        arrays = {name: array[keep] for name, array in arrays.items()}
    run_insert(connection, measurement, arrays, selected)


def run_insert(
    connection: duckdb.DuckDBPyConnection,
    measurement: str,
    arrays: dict[str, _Array],
    selected: dict[str, str],
) -> None:
    """INSERT the expressions `selected` (column -> SQL over `arrays`)."""
    connection.register(_SOURCE, arrays)
    try:
        connection.execute(
            f"INSERT INTO recent.{quoted(measurement)} ({', '.join(map(quoted, selected))})"
            f" SELECT {', '.join(selected.values())} FROM {_SOURCE}"
        )
    finally:
        with suppress(duckdb.Error):  # an aborted transaction refuses it, and hides the cause
            connection.unregister(_SOURCE)


def not_finite(block: Block) -> list[tuple[int, str]]:
    """(row, quantity) of every value that is NaN or infinite; they are stored as absent."""
    return [
        (int(row), name)
        for name, column in block.columns.items()
        if column.type == "f"
        for row in np.flatnonzero(_infinite(column))
    ]


def _infinite(column: Column) -> npt.NDArray[np.bool_]:
    bad: npt.NDArray[np.bool_] = ~np.isfinite(column.values.astype(np.float64, copy=False))
    return bad if column.valid is None else bad & column.valid


def _absent(column: Column, n: int) -> npt.NDArray[np.bool_]:
    absent = np.zeros(n, np.bool_) if column.valid is None else ~column.valid
    return absent | _infinite(column) if column.type == "f" else absent


def _values(parts: list[Column | None], counts: list[int]) -> _Array:
    code = next(part.type for part in parts if part is not None)
    dtype = _DTYPES[code]
    pairs = list(zip(parts, counts, strict=True))
    values = np.concatenate(
        [np.zeros(n, dtype) if p is None else p.values.astype(dtype, copy=False) for p, n in pairs]
    )
    mask = np.concatenate([np.ones(n, np.bool_) if p is None else _absent(p, n) for p, n in pairs])
    if not mask.any():
        return values
    if code == "s":
        values[mask] = None
        return values
    return np.ma.masked_array(values, mask)


def _quality(parts: list[Column | None], counts: list[int], values: _Array) -> _Array | None:
    """Quality codes, absent where the value is absent and nothing is wrong; None: all good."""
    pairs = list(zip(parts, counts, strict=True))
    codes = np.concatenate(
        [
            np.zeros(n, np.uint8)
            if p is None or p.quality is None
            else p.quality.astype(np.uint8, copy=False)
            for p, n in pairs
        ]
    )
    start = 0
    for part, n in pairs:
        if part is not None and part.type == "f":
            codes[start : start + n][_infinite(part)] = Quality.NOT_FINITE
        start += n
    if not codes.any():
        return None
    if values.dtype == object:
        absent = np.array([value is None for value in values], np.bool_)
    else:
        absent = np.ma.getmaskarray(values)
    return np.ma.masked_array(codes, absent & (codes == 0))
