"""Asking an InfluxDB 3 in SQL by its `/api/v3/query_sql`; which language a server speaks."""

from __future__ import annotations

import json

from cloud.query.formats import time_ns
from cloud.query.influxql import InfluxServer, answer_of, request_of, to_result
from cloud.query.result import Cell, QueryResult, ResultColumn
from tocsin.errors import QueryError, StoreUnavailableError


def speaks_sql(server: InfluxServer) -> bool:
    """Whether its `/ping` says that it is an InfluxDB 3 (or one of us).

    Raises:
        StoreUnavailableError: it does not answer.
    """
    try:
        _, headers = answer_of(server, request_of(server, "/ping"))
    except QueryError as exc:
        raise StoreUnavailableError(f"{server.url}/ping: {exc.message}") from exc
    version = headers.get("X-Influxdb-Version", "").lstrip("v")
    return version.startswith(("3.", "tocsin-"))


def ask_sql(server: InfluxServer, sql: str) -> QueryResult:
    """The rows of one SELECT.

    Raises:
        QueryError: the server refused the text.
        StoreUnavailableError: it does not answer.
    """
    body = json.dumps({"db": server.database, "q": sql, "format": "json"}).encode()
    raw, _ = answer_of(server, request_of(server, "/api/v3/query_sql", body=body))
    try:
        rows = json.loads(raw)
        names = list(dict.fromkeys(name for row in rows for name in row))
        values = [[row.get(name) for name in names] for row in rows]
    except (ValueError, TypeError, AttributeError) as exc:
        raise StoreUnavailableError(f"{server.url} answers no rows: {exc}") from exc
    return with_times(to_result({"series": [{"columns": names, "values": values}]}))


def with_times(result: QueryResult) -> QueryResult:
    """Columns that hold nothing but ISO 8601 times (UTC, up to nanoseconds) as times."""
    columns, data = list(result.columns), list(result.data)
    for i, cells in enumerate(data):
        stamps = [time_ns(c) if isinstance(c, str) else None for c in cells]
        told = [cell is not None for cell in cells]
        if any(told) and [s is not None for s in stamps] == told:
            columns[i] = ResultColumn(columns[i].name, "timestamp_ns")
            data[i] = list[Cell](stamps)
    return QueryResult(columns, data, result.truncated)
