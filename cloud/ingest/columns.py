"""Lists from the wire to numpy columns. No Python per cell unless a cell is wrong or absent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from cloud.stores import Column
from tocsin.contract.catalogue import TypeCode, Value
from tocsin.contract.quality import Quality

MAX_TEXT_CHARS = 4096

_KINDS: dict[TypeCode, frozenset[type]] = {
    "f": frozenset({float, int}),
    "i": frozenset({int}),
    "b": frozenset({bool}),
    "s": frozenset({str}),
}
_DTYPES: dict[TypeCode, type] = {"f": np.float64, "i": np.int64, "b": np.bool_, "s": object}
_FILL: dict[TypeCode, Value] = {"f": 0.0, "i": 0, "b": False, "s": ""}
_NONE = type(None)

BadCell = tuple[int, str]  # row, what is wrong


def float_matrix(columns: Sequence[list[Value]]) -> npt.NDArray[np.float64] | None:
    """All columns at once, when every cell is a plain number; None sends the caller to `column`."""
    if not set(map(type, chain.from_iterable(columns))) <= _KINDS["f"]:
        return None
    try:
        return np.array(columns, np.float64)
    except (OverflowError, ValueError):
        return None


def suits(code: TypeCode, cells: Sequence[Value]) -> bool:
    """Whether `column` finds nothing wrong with these cells, whatever others they stand beside."""
    kinds = {*map(type, cells)} - {_NONE}
    if not kinds <= _KINDS[code]:
        return False
    if code == "s":
        return all(cell is None or len(cell) <= MAX_TEXT_CHARS for cell in cells)  # type: ignore[arg-type]
    if int in kinds:
        return all(-(2**63) <= cell < 2**63 for cell in cells if type(cell) is int)
    return True


def column(code: TypeCode, cells: list[Value]) -> tuple[Column, list[BadCell]]:
    """One column; a cell that is not of type `code` becomes absent with quality BAD and is named."""
    kinds = set(map(type, cells))
    if kinds <= _KINDS[code]:
        values = _array(code, cells)
        if values is not None:
            return finite(Column(code, values)), []
    elif kinds - {_NONE} <= _KINDS[code]:
        fill = _FILL[code]
        values = _array(code, [fill if cell is None else cell for cell in cells])
        if values is not None:
            valid = np.array([cell is not None for cell in cells])
            return finite(Column(code, values, valid)), []
    return _cell_by_cell(code, cells)


def finite(col: Column) -> Column:
    """NaN and infinity are no readings: absent, with quality NOT_FINITE."""
    if col.type != "f":
        return col
    good = np.isfinite(col.values.astype(np.float64, copy=False))
    if good.all():
        return col
    quality = np.zeros(len(good), np.uint8) if col.quality is None else col.quality.copy()
    quality[~good] = Quality.NOT_FINITE
    valid = good if col.valid is None else good & col.valid
    return Column("f", np.where(good, col.values, 0.0), valid, quality)


def _array(code: TypeCode, cells: Sequence[Value]) -> npt.NDArray[np.generic] | None:
    if code == "s" and max(map(len, cells), default=0) > MAX_TEXT_CHARS:  # type: ignore[arg-type]
        return None
    try:
        return np.array(cells, _DTYPES[code])
    except OverflowError:
        return None


def _cell_by_cell(code: TypeCode, cells: list[Value]) -> tuple[Column, list[BadCell]]:
    n = len(cells)
    kept: list[Value] = [_FILL[code]] * n
    valid = np.zeros(n, np.bool_)
    quality = np.zeros(n, np.uint8)
    bad: list[BadCell] = []
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        value, why = _cell(code, cell)
        if why:
            bad.append((row, why))
            quality[row] = Quality.BAD
        else:
            kept[row] = value
            valid[row] = True
    values: npt.NDArray[np.generic] = np.array(kept, _DTYPES[code])
    return finite(Column(code, values, valid, quality if bad else None)), bad


def _cell(code: TypeCode, cell: Value) -> tuple[Value, str]:
    fits = type(cell) in _KINDS[code]
    if code == "i" and isinstance(cell, float) and math.isfinite(cell) and cell.is_integer():
        cell, fits = int(cell), True
    if not fits:
        return None, f"{cell!r:.60} is not of type {code!r}"
    if isinstance(cell, str) and len(cell) > MAX_TEXT_CHARS:
        return None, f"a text of {len(cell)} characters, {MAX_TEXT_CHARS} allowed"
    if code == "i" and isinstance(cell, int) and not -(2**63) <= cell < 2**63:
        return None, f"{cell!r:.60} does not fit 64 bits"
    if code == "f" and isinstance(cell, int):
        try:
            float(cell)
        except OverflowError:
            return None, f"{cell!r:.60} is too large"
    return cell, ""
