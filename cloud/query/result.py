"""What a query may use and what it returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | bool | None
CellType = Literal["timestamp_ns", "bigint", "double", "boolean", "varchar"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one query. Rows or bytes beyond them are cut off and the result says `truncated`."""

    timeout_s: float = 30.0
    max_rows: int = 1_000_000
    max_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """Name and type of one column of a result."""

    name: str
    type: CellType


def distinct_names(names: Iterable[str]) -> list[str]:
    """`names` where a repeated one has a suffix: a, a_1, a_2; a name that is already there is passed over."""
    given = list(names)
    taken, found = set(given), set[str]()
    distinct: list[str] = []
    for name in given:
        number, own = 0, name
        while own in found or (number and own in taken):
            number += 1
            own = f"{name}_{number}"
        found.add(own)
        distinct.append(own)
    return distinct


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Columns of equal length; a `timestamp_ns` is Unix nanoseconds UTC."""

    columns: list[ResultColumn]
    data: list[list[Cell]]
    truncated: bool = False

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.data[0]) if self.data else 0

    def as_dict(self) -> dict[str, object]:
        """As it travels between processes."""
        return {
            "columns": [{"name": c.name, "type": c.type} for c in self.columns],
            "data": self.data,
            "truncated": self.truncated,
        }
