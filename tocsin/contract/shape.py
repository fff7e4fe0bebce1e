"""Whether the columns of a decoded group fit together. Types alone cannot say that; stores must be able to rely on it."""

from __future__ import annotations

from functools import lru_cache

from tocsin.contract.catalogue import is_identifier, is_measurement
from tocsin.contract.messages import NS_PER_UNIT, Batch, Group
from tocsin.contract.topics import is_name

MAX_QUANTITIES = 256
_TYPES = frozenset("fibs")
_NS_MIN, _NS_MAX = -(2**63), 2**63 - 1


def group_fault(batch: Batch, group: Group) -> str | None:
    """Why `group` cannot be stored, or None. Its rows are `len(group.times)` in any case, so others keep their numbers.

    Not checked: the type of each value (one bad cell must not cost its row) and the range of quality codes.
    """
    rows, columns = len(group.times), len(group.quantities)
    if not is_name(group.device):
        return f"{group.device!r} is no device name"
    if not is_measurement(group.measurement):
        return f"{group.measurement!r} is no measurement name"
    return (
        _quantities(group.quantities, group.types)
        or _lengths(group, rows, columns)
        or _times(batch, group)
        or _quality(group, rows, columns)
        or _raw(group, rows)
    )


@lru_cache(maxsize=1024)
def _quantities(names: tuple[str, ...], types: str) -> str | None:
    if len(names) > MAX_QUANTITIES:
        return f"{len(names)} quantities, {MAX_QUANTITIES} allowed"
    if len(set(names)) != len(names):
        return "a quantity stands twice"
    for name in names:
        if not is_identifier(name):
            return f"{name!r} is no quantity name"
    if len(types) != len(names) or not _TYPES.issuperset(types):
        return f"types {types!r} for {len(names)} quantities"
    return None


def _lengths(group: Group, rows: int, columns: int) -> str | None:
    if len(group.columns) != columns:
        return f"{len(group.columns)} columns for {columns} quantities"
    for name, column in zip(group.quantities, group.columns, strict=True):
        if len(column) != rows:
            return f"{name}: {len(column)} values for {rows} rows"
    if group.source_times is not None and len(group.source_times) != rows:
        return f"{len(group.source_times)} source times for {rows} rows"
    return None


def _times(batch: Batch, group: Group) -> str | None:
    per_unit = NS_PER_UNIT[batch.tu]
    stamps = list(group.times)
    if group.source_times is not None:
        stamps += [t for t in group.source_times if t is not None]
    if stamps and not (
        batch.t0 + min(stamps) * per_unit > _NS_MIN and batch.t0 + max(stamps) * per_unit <= _NS_MAX
    ):
        return "a time is outside 64 bits of nanoseconds"
    return None


def _quality(group: Group, rows: int, columns: int) -> str | None:
    for row, column, _code in group.quality:
        if not (0 <= row < rows and 0 <= column < columns):
            return f"quality for row {row}, column {column} of {rows} x {columns}"
    return None


def _raw(group: Group, rows: int) -> str | None:
    for name, (_unit, values) in group.raw.items():
        if name not in group.quantities:
            return f"raw values of {name!r}, which is not among the quantities"
        if len(values) != rows:
            return f"{name}: {len(values)} raw values for {rows} rows"
    return None
