"""Asking an InfluxDB 1.x or 2.x in InfluxQL by its `/query`."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud.query.result import Cell, CellType, QueryResult, ResultColumn
from tocsin.errors import QueryError, QueryReason, StoreUnavailableError

MAX_ANSWER_BYTES = 64 << 20
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class InfluxServer:
    """Where and as whom to ask. `database` may be `database/policy` on 1.x."""

    url: str
    database: str
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = 30.0
    ca: str | None = None


def ask(server: InfluxServer, text: str) -> QueryResult:
    """The rows of all series of the answer, tags as columns.

    Raises:
        QueryError: the server refused the text.
        StoreUnavailableError: it does not answer.
    """
    answer = fetch(server, text)
    try:
        return to_result(answer)
    except (KeyError, TypeError, AttributeError) as exc:
        raise StoreUnavailableError(
            f"{server.url} answers InfluxQL unlike InfluxDB",
            hint="this server is written to, and asked in its own ways",
        ) from exc


def fetch(server: InfluxServer, text: str) -> dict[str, Any]:
    """InfluxDB's own answer, times in nanoseconds.

    Raises:
        QueryError: the server refused the text.
        StoreUnavailableError: it does not answer.
    """
    database, _, policy = server.database.partition("/")
    query = {"db": database, "q": text, "epoch": "ns"} | ({"rp": policy} if policy else {})
    if server.username:
        query |= {"u": server.username, "p": server.password}
    raw, _ = answer_of(server, request_of(server, f"/query?{urllib.parse.urlencode(query)}"))
    try:
        answer = json.loads(raw)
    except ValueError as exc:
        raise StoreUnavailableError(f"InfluxDB at {server.url} answers no JSON: {exc}") from exc
    return answer if isinstance(answer, dict) else {}


def request_of(
    server: InfluxServer, path: str, *, body: bytes | None = None
) -> urllib.request.Request:
    """A request with the server's token.

    Raises:
        StoreUnavailableError: no http address.
    """
    if not server.url.startswith(("http://", "https://")):
        raise StoreUnavailableError(f"{server.url} is not an http address")
    request = urllib.request.Request(f"{server.url.rstrip('/')}{path}", body)  # noqa: S310 - checked above
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if server.token:
        request.add_header("Authorization", f"Token {server.token}")
    return request


def answer_of(server: InfluxServer, request: urllib.request.Request) -> tuple[bytes, Headers]:
    """Body and headers of a good answer.

    Raises:
        QueryError: refused, or larger than `MAX_ANSWER_BYTES`.
        StoreUnavailableError: no answer.
    """
    context = ssl.create_default_context(cafile=server.ca) if server.ca else None
    try:
        with urllib.request.urlopen(request, timeout=server.timeout_s, context=context) as response:  # noqa: S310
            raw = response.read(MAX_ANSWER_BYTES + 1)
            headers = response.headers
    except urllib.error.HTTPError as exc:
        raise _refused(exc) from exc
    except TimeoutError as exc:
        raise QueryError(
            QueryReason.TIME_LIMIT,
            f"no answer within {server.timeout_s:g} s",
            hint="narrow it by time",
        ) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise StoreUnavailableError(
            f"InfluxDB at {server.url} does not answer: {exc}",
            hint="is it running, is the url right?",
        ) from exc
    if len(raw) > MAX_ANSWER_BYTES:
        raise QueryError(
            QueryReason.ROW_LIMIT,
            f"the answer has more than {MAX_ANSWER_BYTES} bytes",
            hint="narrow it by time, aggregate it, or add LIMIT",
        )
    return raw, headers


def _refused(exc: urllib.error.HTTPError) -> QueryError | StoreUnavailableError:
    body = exc.read(2000).decode("utf-8", "replace").strip()
    if exc.code == 400:
        return QueryError(QueryReason.SYNTAX, body[:300])
    hint = "check the token or account" if exc.code in (401, 403) else ""
    if exc.code == 404:
        hint = "this server has no such door; InfluxDB 1 and 2 answer InfluxQL, InfluxDB 3 and the embedded store SQL"
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
