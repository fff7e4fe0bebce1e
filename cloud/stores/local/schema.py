"""Which columns each measurement has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from cloud.stores.local.names import FIXED, SQL_TYPES, Kind, quoted
from cloud.stores.local.views import rebuild_view


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column beside `time`. `type` is an SQL type."""

    name: str
    type: str
    kind: Kind


@dataclass(slots=True)
class Table:
    """The columns of one measurement in their order; keys in lower case, as SQL compares names."""

    name: str
    columns: dict[str, ColumnInfo] = field(default_factory=dict)

    def count(self, kind: Kind) -> int:
        """How many columns of `kind` there are."""
        return sum(1 for column in self.columns.values() if column.kind is kind)

    @property
    def tags(self) -> list[str]:
        """Names of the tags: with `time` they make a row unique."""
        return [column.name for column in self.columns.values() if column.kind is Kind.TAG]


class Schema:
    """A working copy; `apply` writes its additions inside the caller's transaction."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self.tables = tables
        self._new_tables: list[str] = []
        self._new_columns: list[tuple[Table, ColumnInfo]] = []

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection) -> Schema:
        """The schema as committed."""
        tables: dict[str, Table] = {}
        for measurement, name, sql_type, kind in connection.execute(
            "SELECT measurement, name, type, kind FROM meta.columns ORDER BY measurement, position"
        ).fetchall():
            table = tables.setdefault(measurement.lower(), Table(measurement))
            if name:
                table.columns[name.lower()] = ColumnInfo(name, sql_type, Kind(kind))
        return cls(tables)

    def copy(self) -> Schema:
        """A copy to add to; the original stays as it is."""
        return Schema({k: Table(t.name, dict(t.columns)) for k, t in self.tables.items()})

    @property
    def changed(self) -> bool:
        """Whether something was added since the copy."""
        return bool(self._new_tables or self._new_columns)

    def add_table(self, name: str) -> Table:
        """Add a measurement."""
        table = self.tables[name.lower()] = Table(name)
        self._new_tables.append(name)
        return table

    def add_column(self, table: Table, name: str, sql_type: str, kind: Kind) -> None:
        """Add a column to `table`."""
        column = ColumnInfo(name, sql_type, kind)
        table.columns[name.lower()] = column
        self._new_columns.append((table, column))

    def ensure_fixed(self, table: Table, *names: str) -> None:
        """Add those of the columns in `FIXED` that `table` lacks."""
        for name in names:
            if name not in table.columns:
                self.add_column(table, name, *FIXED[name])

    def apply(self, connection: duckdb.DuckDBPyConnection, cold: Path) -> None:
        """Create what was added and rebuild the views concerned."""
        for name in self._new_tables:
            connection.execute(f"CREATE TABLE recent.{quoted(name)} (time TIMESTAMP_NS NOT NULL)")
            connection.execute("INSERT INTO meta.columns VALUES (?, '', '', '', 0)", [name])
        for table, column in self._new_columns:
            connection.execute(
                f"ALTER TABLE recent.{quoted(table.name)} ADD COLUMN {quoted(column.name)} {column.type}"
            )
            connection.execute(
                "INSERT INTO meta.columns VALUES (?, ?, ?, ?, ?)",
                [table.name, column.name, column.type, column.kind.value, len(table.columns)],
            )
        for name in {*self._new_tables, *(table.name for table, _ in self._new_columns)}:
            rebuild_view(connection, name, cold)


def sql_type(code: str) -> str:
    """The SQL type of a type code."""
    return SQL_TYPES[code]
