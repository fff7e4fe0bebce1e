"""The layout of hot.duckdb. What a newer one adds beside the older tables stays there on the way back: the older version passes it by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tocsin.errors import StoreError

VERSION = 2  # 1 says nothing of itself


def version_of(connection: duckdb.DuckDBPyConnection) -> int:
    """The layout of an open file; 0 is an empty one."""
    names = {
        name
        for (name,) in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'meta'"
        ).fetchall()
    }
    if "layout" in names:
        row = connection.execute("SELECT max(version) FROM meta.layout").fetchone()
        return int(row[0]) if row and row[0] is not None else VERSION
    return 1 if "columns" in names else 0


@contextmanager
def bare(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file without anything of the store's, for looking at its layout and changing it.

    Raises:
        StoreError: it cannot be opened, or a running cloud has it.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as exc:
        raise StoreError(
            f"{path} cannot be opened: {exc}", hint="is a cloud running on it?"
        ) from exc
    try:
        yield connection
    finally:
        connection.close()


def refuse_newer(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raises StoreError, before anything is touched, when a newer version made the file."""
    found = version_of(connection)
    if found > VERSION:
        raise StoreError(
            f"{path} has layout {found}, this version knows {VERSION}",
            hint="install the newer version again, and have it go back first: tocsin cloud layout rollback",
        )


def set_version(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Write the layout down; 1 has no table for it."""
    if version == 1:
        connection.execute("DROP TABLE IF EXISTS meta.layout")
        return
    connection.execute("CREATE OR REPLACE TABLE meta.layout AS SELECT ? AS version", [version])
