"""Running a checked statement on a DuckDB cursor within its limits."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Mapping

import duckdb

from cloud.query.result import Cell, CellType, Limits, QueryResult, ResultColumn, distinct_names
from tocsin.errors import QueryError, QueryReason

_FETCH_ROWS = 2048
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_TIMES = {"TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE"}
_ZONED = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS WITH TIME ZONE"}
_NOT_IN_NS = re.compile(r"Timestamp\(NS\)|to nanoseconds|Timestamp to higher precision")
_REALS = ("DOUBLE", "FLOAT", "DECIMAL", "HUGEINT", "UHUGEINT")


def run(
    cursor: duckdb.DuckDBPyConnection,
    statement: str,
    limits: Limits,
    params: Mapping[str, Cell] | None = None,
) -> QueryResult:
    """The result of `statement`, which `cloud.query.door.check` let through.

    Raises:
        QueryError: stopped at a limit, or it names what is not there.
    """
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        cursor.interrupt()

    timer = threading.Timer(limits.timeout_s, stop)
    timer.daemon = True
    timer.name = "query-limit"
    timer.start()
    try:
        return _run(cursor, statement, limits, dict(params or {}), stopped)
    except duckdb.Error as exc:
        raise _translate(exc, limits, stopped.is_set()) from exc
    finally:
        timer.cancel()


def _run(
    cursor: duckdb.DuckDBPyConnection,
    statement: str,
    limits: Limits,
    params: dict[str, Cell],
    stopped: threading.Event,
) -> QueryResult:
    described = cursor.execute(f"DESCRIBE {statement}", params).fetchall()
    names = distinct_names(str(row[0]) for row in described)
    casts = [_cast(f"c{i}", str(row[1])) for i, row in enumerate(described)]
    # Python's datetime has no nanoseconds, so stamps leave DuckDB as integers.
    outer = ", ".join(sql for sql, _ in casts)
    inner = ", ".join(f"c{i}" for i in range(len(casts)))
    cursor.execute(
        f"SELECT {outer} FROM ({statement}\n) AS t({inner}) LIMIT {limits.max_rows + 1}", params
    )
    data: list[list[Cell]] = [[] for _ in casts]
    rows = size = 0
    truncated = False
    while True:
        chunk = cursor.fetchmany(_FETCH_ROWS)
        if stopped.is_set():
            raise duckdb.InterruptException("time limit")
        if not chunk:
            break
        if rows + len(chunk) > limits.max_rows:
            chunk = chunk[: limits.max_rows - rows]
            truncated = True
        rows += len(chunk)
        for cells, column in zip(data, zip(*chunk, strict=True), strict=False):
            cells.extend(column)
            size += sum(len(v) if isinstance(v, str) else 8 for v in column)
        truncated = truncated or size > limits.max_bytes
        if truncated:
            break
    columns = [ResultColumn(n, kind) for n, (_, kind) in zip(names, casts, strict=True)]
    return QueryResult(columns, data, truncated)


def _cast(column: str, sql_type: str) -> tuple[str, CellType]:
    if sql_type in _TIMES or sql_type in _ZONED:
        return f"epoch_ns({column})", "timestamp_ns"
    if sql_type in _INTEGERS:
        return column, "bigint"
    if sql_type == "UBIGINT":
        return f"{column}::HUGEINT", "bigint"
    if sql_type == "HUGEINT":  # sum() of integers
        return f"coalesce(TRY_CAST({column} AS BIGINT)::HUGEINT, {column})", "bigint"
    if sql_type.startswith(_REALS) and not sql_type.endswith("]"):
        return f"{column}::DOUBLE", "double"
    if sql_type == "BOOLEAN":
        return column, "boolean"
    return f"{column}::VARCHAR", "varchar"


def _translate(exc: duckdb.Error, limits: Limits, timed_out: bool) -> QueryError:
    text = " ".join(str(exc).split("\n\n")[0].split())
    if timed_out or isinstance(exc, duckdb.InterruptException):
        return QueryError(
            QueryReason.TIME_LIMIT,
            f"stopped after {limits.timeout_s:g} s",
            hint="narrow it by time: WHERE time > now() - INTERVAL '1 hour'",
        )
    if isinstance(exc, duckdb.OutOfMemoryException) or "Out of Memory" in text:
        return QueryError(
            QueryReason.MEMORY_LIMIT,
            "it needs more memory than queries may use",
            hint="narrow it by time or aggregate first; [store] memory_mb sets the limit",
        )
    if isinstance(exc, duckdb.BinderException | duckdb.CatalogException):
        return QueryError(QueryReason.UNKNOWN_NAME, text[:500], hint=_nearest(text))
    if isinstance(exc, duckdb.ParserException):
        return QueryError(QueryReason.SYNTAX, text[:500])
    if isinstance(exc, duckdb.ConversionException) and _NOT_IN_NS.search(text):
        return QueryError(
            QueryReason.FAILED,
            "a time lies outside 1677-09-22 to 2262-04-11, what nanoseconds since 1970 can tell",
            hint="take such a time as text: time::VARCHAR",
        )
    return QueryError(QueryReason.FAILED, text[:500])


def _nearest(text: str) -> str:
    wanted = re.search(r'column "([^"]+)"', text)
    listed = re.findall(r'"([^"]+)"', text.partition("Candidate bindings:")[2])
    if not wanted or not listed:
        return "SELECT column_name FROM information_schema.columns lists what there is"
    names = list(dict.fromkeys(name.rpartition(".")[2] for name in listed))
    near = difflib.get_close_matches(wanted[1], names, 3) or names[:3]
    return f"did you mean {', '.join(near)}?"
