"""The view of a table: hot rows and every Parquet file that the store's own list names.

Cold files are shown month by month, each month under the condition that its own times make true. A question about an
hour then opens the files of one month and not those of all years. Files of a month with the same columns are one
branch, so that only the first of them is opened to know its columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb

from cloud.stores.local.names import literal, quoted

_Columns = tuple[str, ...]
_File = tuple[str, date, int, int]  # path, day, first and last time
_REMEMBERED = 200_000
_known: dict[tuple[str, int], _Columns] = {}  # (file, modification time): a file never changes


def rebuild_view(connection: duckdb.DuckDBPyConnection, measurement: str, cold: Path) -> None:
    """The view `measurement`, in the caller's transaction."""
    hot = f"SELECT * FROM recent.{quoted(measurement)}"
    _replace(connection, measurement, [hot, *_branches(connection, measurement, cold)])


def rebuild_sample_view(connection: duckdb.DuckDBPyConnection, name: str, cold: Path) -> None:
    """The view of the down-sample `name`, which has no hot rows; none when there are no files of it."""
    branches = _branches(connection, name, cold)
    if branches:
        _replace(connection, name, branches)
    else:
        connection.execute(f"DROP VIEW IF EXISTS main.{quoted(name)}")


def _replace(connection: duckdb.DuckDBPyConnection, name: str, branches: Sequence[str]) -> None:
    sql = " UNION ALL BY NAME ".join(branches)
    connection.execute(f"CREATE OR REPLACE VIEW main.{quoted(name)} AS {sql}")


def _branches(connection: duckdb.DuckDBPyConnection, name: str, cold: Path) -> list[str]:
    files: list[_File] = connection.execute(
        "SELECT path, day, t_min, t_max FROM meta.cold WHERE measurement = ? ORDER BY day, path",
        [name],
    ).fetchall()
    columns = _columns(connection, cold, [path for path, *_ in files])
    groups: dict[tuple[int, int, _Columns], list[_File]] = defaultdict(list)
    for file in files:
        groups[file[1].year, file[1].month, columns[file[0]]].append(file)
    return [_branch(group, cold) for group in groups.values()]


def _branch(files: Sequence[_File], cold: Path) -> str:
    paths = ", ".join(literal(str(cold.resolve() / path)) for path, *_ in files)
    first, last = min(t for _, _, t, _ in files), max(t for *_, t in files)
    return (
        f"SELECT * FROM read_parquet([{paths}])"
        f" WHERE time >= make_timestamp_ns({first}) AND time <= make_timestamp_ns({last})"
    )


def _columns(
    connection: duckdb.DuckDBPyConnection, cold: Path, paths: Sequence[str]
) -> dict[str, _Columns]:
    """Names and types in each file; only files not seen before are opened."""
    top = cold.resolve()
    try:
        keys = {path: (str(top / path), (top / path).stat().st_mtime_ns) for path in paths}
    except OSError as exc:
        raise duckdb.IOException(f"a file of the store is gone: {exc}") from exc
    new = [key[0] for key in keys.values() if key not in _known]
    if new:
        if len(_known) + len(new) > _REMEMBERED:
            _known.clear()
            new = [key[0] for key in keys.values()]
        found: dict[str, list[str]] = defaultdict(list)
        for file, *told in connection.execute(
            "SELECT file_name, name, type, converted_type, logical_type FROM parquet_schema(?)"
            " WHERE num_children IS NULL OR num_children = 0",
            [new],
        ).fetchall():
            found[file].append(" ".join(map(str, told)))
        same: dict[_Columns, _Columns] = {known: known for known in _known.values()}
        for key in keys.values():
            if key[0] in found:
                columns = tuple(sorted(found[key[0]]))
                _known[key] = same.setdefault(columns, columns)
    return {path: _known[key] for path, key in keys.items()}
