"""Blocks of one measurement -> numpy columns -> one INSERT."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from cloud.stores import NO_TIME, Column, Rejected
from cloud.stores.local.names import quoted
from cloud.stores.local.plan import Accepted
from tocsin.contract.quality import Quality

_SOURCE = "incoming"
_DTYPES: dict[str, npt.DTypeLike] = {"f": np.float64, "i": np.int64, "b": np.bool_, "s": object}
_Array = npt.NDArray[Any]
_Flags = npt.NDArray[np.bool_] | None


def insert(
    connection: duckdb.DuckDBPyConnection, measurement: str, accepted: list[Accepted]
) -> list[Rejected]:
    """Insert all rows of `accepted` inside the caller's transaction; values that are no numbers are left out and named."""
    rejected: list[Rejected] = []
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
        arrays[name], bad = _values(parts, counts)
        selected[name] = quoted(name)
        if bad is not None:
            rejected += _rejected(name, bad, accepted, counts)
        quality = _quality(parts, counts, arrays[name], bad)
        if quality is None:
            selected[f"{name}_q"] = f"if({quoted(name)} IS NULL, NULL, 0::UTINYINT)"
        else:
            arrays[f"{name}_q"] = quality
            selected[f"{name}_q"] = quoted(f"{name}_q")
    for name in dict.fromkeys(name for a in accepted for name in a.raw):
        parts = [a.block.raw[name] if name in a.raw else None for a in accepted]
        arrays[f"{name}_raw"], _ = _values(parts, counts)
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
    return rejected


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
    except duckdb.Error:
        with suppress(duckdb.Error):  # an aborted transaction refuses it, and hides the cause
            connection.unregister(_SOURCE)
        raise
    connection.unregister(_SOURCE)


def _values(parts: list[Column | None], counts: list[int]) -> tuple[_Array, _Flags]:
    """All parts one after another, absent ones masked; and which are NaN or infinite, if any."""
    code = next(part.type for part in parts if part is not None)
    dtype = _DTYPES[code]
    values = np.concatenate(
        [
            np.zeros(n, dtype) if p is None else p.values.astype(dtype, copy=False)
            for p, n in zip(parts, counts, strict=True)
        ]
    )
    absent = _absent(parts, counts)
    bad: _Flags = None
    if code == "f":
        finite = np.isfinite(values)
        if not finite.all():
            bad = ~finite if absent is None else ~finite & ~absent
            absent = ~finite if absent is None else ~finite | absent
    if absent is None or not absent.any():
        return values, bad
    if code == "s":
        values[absent] = None
        return values, bad
    return np.ma.masked_array(values, absent), bad


def _absent(parts: list[Column | None], counts: list[int]) -> _Flags:
    if all(part is not None and part.valid is None for part in parts):
        return None
    return np.concatenate(
        [
            np.ones(n, np.bool_)
            if p is None
            else np.zeros(n, np.bool_)
            if p.valid is None
            else ~p.valid
            for p, n in zip(parts, counts, strict=True)
        ]
    )


def _quality(
    parts: list[Column | None], counts: list[int], values: _Array, bad: _Flags
) -> _Array | None:
    """Quality codes, absent where the value is absent and nothing is wrong; None: all good."""
    if bad is None and all(part is None or part.quality is None for part in parts):
        return None
    codes = np.concatenate(
        [
            np.zeros(n, np.uint8)
            if p is None or p.quality is None
            else p.quality.astype(np.uint8, copy=False)
            for p, n in zip(parts, counts, strict=True)
        ]
    )
    if bad is not None:
        codes[bad] = Quality.NOT_FINITE
    if not codes.any():
        return None
    if values.dtype == object:
        absent = np.array([value is None for value in values], np.bool_)
    else:
        absent = np.ma.getmaskarray(values)
    return np.ma.masked_array(codes, absent & (codes == 0))


def _rejected(
    name: str, bad: npt.NDArray[np.bool_], accepted: list[Accepted], counts: list[int]
) -> list[Rejected]:
    """Every value that is NaN or infinite: stored as absent, and named."""
    starts = np.cumsum([0, *counts])
    rows = np.flatnonzero(bad)
    members = np.searchsorted(starts, rows, side="right") - 1
    return [
        Rejected(accepted[m].index, int(row - starts[m]), name, "not-finite: NaN or infinity")
        for row, m in zip(rows, members, strict=True)
    ]
