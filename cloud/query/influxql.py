"""Asking an InfluxDB 1.x or 2.x in InfluxQL by its `/query`."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from cloud.query.result import Cell, CellType, QueryResult, ResultColumn
from tocsin.errors import QueryError, QueryReason, StoreUnavailableError


@dataclass(frozen=True, slots=True)
class InfluxServer:
    """Where and as whom to ask."""

    url: str
    database: str
    token: str = ""
    username: str = ""
    password: str = ""
    timeout_s: float = 30.0


def ask(server: InfluxServer, text: str) -> QueryResult:
    """The rows of all series of the answer, tags as columns.

    Raises:
        QueryError: the server refused the text.
        StoreUnavailableError: it does not answer.
    """
    query = {"db": server.database, "q": text, "epoch": "ns"}
    if server.username:
        query |= {"u": server.username, "p": server.password}
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked below
        f"{server.url.rstrip('/')}/query?{urllib.parse.urlencode(query)}"
    )
    if not server.url.startswith(("http://", "https://")):
        raise StoreUnavailableError(f"{server.url} is not an http address")
    if server.token:
        request.add_header("Authorization", f"Token {server.token}")
    try:
        with urllib.request.urlopen(request, timeout=server.timeout_s) as response:  # noqa: S310
            answer = json.load(response)
    except urllib.error.HTTPError as exc:
        raise _refused(exc) from exc
    except (OSError, ValueError) as exc:
        raise StoreUnavailableError(
            f"InfluxDB at {server.url} does not answer: {exc}",
            hint="is it running, is the url right?",
        ) from exc
    return to_result(answer)


def _refused(exc: urllib.error.HTTPError) -> QueryError | StoreUnavailableError:
    body = exc.read(2000).decode("utf-8", "replace").strip()
    if exc.code == 400:
        return QueryError(QueryReason.SYNTAX, body[:300])
    hint = "check the token or account" if exc.code in (401, 403) else ""
    if exc.code == 404:
        hint = "this server has no /query; InfluxDB 3 and the embedded store answer SQL"
    return StoreUnavailableError(f"InfluxDB answered {exc.code}: {body[:200]}", hint=hint)


def to_result(answer: dict[str, Any]) -> QueryResult:
    """Columns out of InfluxDB's series; the measurement is a column when there are several.

    Raises:
        QueryError: the answer carries an error.
    """
    series: list[dict[str, Any]] = []
    for result in [answer, *answer.get("results", ())]:
        if "error" in result:
            raise QueryError(QueryReason.FAILED, str(result["error"])[:300])
        series.extend(result.get("series", ()))
    several = len({one.get("name") for one in series}) > 1
    names: list[str] = ["name"] if several else []
    for one in series:
        names += [n for n in (*one.get("tags", ()), *one["columns"]) if n not in names]
    data: dict[str, list[Cell]] = {name: [] for name in names}
    for one in series:
        fixed: dict[str, Cell] = {**one.get("tags", {})}
        if several:
            fixed["name"] = one.get("name")
        for values in one.get("values", ()):
            row = fixed | dict(zip(one["columns"], values, strict=True))
            for name in names:
                data[name].append(row.get(name))
    return QueryResult([ResultColumn(n, _type(n, data[n])) for n in names], list(data.values()))


def _type(name: str, cells: list[Cell]) -> CellType:
    kinds = {type(cell) for cell in cells if cell is not None}
    if name == "time" and kinds <= {int}:
        return "timestamp_ns"
    if kinds == {bool}:
        return "boolean"
    if kinds and kinds <= {int}:
        return "bigint"
    return "double" if kinds and kinds <= {int, float} else "varchar"
