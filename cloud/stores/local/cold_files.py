"""Parquet files of the cold store: written whole or not at all, never changed, and named once.

A file that was made of others says so inside (`tocsin` in its key-value metadata), so that it can be told what counts
when the hot file, which lists them all, is lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import duckdb
import msgspec

from cloud.stores.local.names import literal, quoted

MERGED = "m"  # behind the number of a file that was made of several
DAY_NS = 86_400 * 10**9
ROW_GROUP_ROWS = 100_000
# Version 2 has delta encodings for times and sequence numbers and split bytes for floats: half the size, or less.
_FORMAT = f"FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}"

Step = Callable[[str], None]


class Origin(msgspec.Struct, frozen=True):
    """What a file was made of, with so many `parts` like it; `ever`: also what those had been made of."""

    of: list[str]
    parts: int
    ever: list[str]


def origin_of(connection: duckdb.DuckDBPyConnection, cold: Path, path: str) -> Origin | None:
    """What is told in the file; None: it came from the hot file."""
    told = connection.execute(
        "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'tocsin'",
        [str((cold / path).resolve())],
    ).fetchall()
    return msgspec.json.decode(bytes(told[0][0]), type=Origin) if told else None


def made_from(
    connection: duckdb.DuckDBPyConnection, cold: Path, files: Sequence[str], parts: int
) -> Origin:
    """What to tell of a file made of `files`."""
    before = [origin_of(connection, cold, path) for path in files]
    ever = {*files, *(path for origin in before if origin for path in origin.ever)}
    return Origin(sorted(files), parts, sorted(ever))


def scan(cold: Path, paths: Iterable[str]) -> str:
    """SQL over the files `paths` of `cold`; columns that a file lacks are NULL."""
    files = ", ".join(literal(str(cold.resolve() / path)) for path in paths)
    return f"read_parquet([{files}], union_by_name = true)"


def new_path(
    connection: duckdb.DuckDBPyConnection, cold: Path, measurement: str, date: str, mark: str = ""
) -> str:
    """`<measurement>/<date>.<n><mark>.parquet` with a number that no file of this day ever had."""
    folder = quote(measurement, safe="")
    (cold / folder).mkdir(parents=True, exist_ok=True)
    names = [path.name for path in (cold / folder).glob(f"{date}.*.parquet")]
    names += [
        str(path).rpartition("/")[2]
        for (path,) in connection.execute(
            "SELECT path FROM meta.cold WHERE measurement = $m AND day = $d"
            " UNION ALL SELECT unnest(made_of) FROM meta.sampled WHERE measurement = $m AND day = $d"
            " UNION ALL SELECT unnest(files) FROM meta.retired WHERE measurement = $m AND day = $d",
            {"m": measurement, "d": date},
        ).fetchall()
    ]
    number = max((number_of(name) for name in names), default=-1) + 1
    return f"{folder}/{date}.{number:03d}{mark}.parquet"


def number_of(name: str) -> int:
    """The number in a file's name."""
    return int(name.split(".")[1].rstrip(MERGED))


def write_file(
    connection: duckdb.DuckDBPyConnection,
    select: str,
    path: Path,
    step: Step,
    origin: Origin | None = None,
) -> None:
    """The rows of `select` in `path`, on disk when it returns."""
    temporary = path.with_suffix(".tmp")
    note = ""
    if origin is not None:
        note = f", KV_METADATA {{tocsin: {literal(msgspec.json.encode(origin).decode())}}}"
    connection.execute(f"COPY ({select}) TO {literal(str(temporary.resolve()))} ({_FORMAT}{note})")
    step("copied")
    fsync(temporary)
    temporary.rename(path)
    fsync(path.parent)
    step("renamed")


def enter(
    connection: duckdb.DuckDBPyConnection, cold: Path, measurement: str, date: str, path: str
) -> int:
    """List the file in the caller's transaction; its rows."""
    (rows,) = connection.execute(
        "INSERT INTO meta.cold SELECT ?, ?, ?, count(*), epoch_ns(min(time)), epoch_ns(max(time))"
        " FROM read_parquet(?) RETURNING rows",
        [measurement, date, path, str((cold / path).resolve())],
    ).fetchall()[0]
    return int(rows)


def leave(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Strike the files off the list in the caller's transaction."""
    connection.execute("DELETE FROM meta.cold WHERE path IN (SELECT unnest(?))", [list(paths)])


def cut(
    connection: duckdb.DuckDBPyConnection, source: str, tags: Sequence[str], limit_rows: int
) -> list[str]:
    """Conditions that share the rows of `source` out by series, in order, about `limit_rows` to each."""
    if not tags:
        return ["true"]
    keys = [f"coalesce({quoted(tag)}, '')" for tag in tags[:2]]
    found = connection.execute(
        f"SELECT {', '.join(keys)}, count(*) FROM {source} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    ends: list[tuple[str, ...]] = []
    rows = 0
    for *key, count in found[:-1]:
        rows += count
        if rows >= limit_rows:
            ends.append(tuple(key))
            rows = 0
    beyond = ["true", *(_is_beyond(keys, end) for end in ends)]
    upto = [*(f"NOT {condition}" for condition in beyond[1:]), "true"]
    return [f"{a} AND {b}" for a, b in zip(beyond, upto, strict=True)]


def _is_beyond(keys: Sequence[str], end: Sequence[str]) -> str:
    """`keys` after `end` in their order; DuckDB cannot compare rows between two bounds."""
    first = f"{keys[0]} > {literal(end[0])}"
    if len(keys) == 1:
        return f"({first})"
    return f"({first} OR ({keys[0]} = {literal(end[0])} AND {keys[1]} > {literal(end[1])}))"


def fsync(path: Path) -> None:
    """Have a file or a folder on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
