"""`tocsin query`: one question to the store, answered as a table, csv, json, jsonl or parquet."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from cloud.query.formats import FORMATS, Format, from_answer, from_rows, render
from cloud.query.result import Limits, QueryResult
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.paths import last_cloud_dir
from tocsin.errors import (
    IdentityError,
    IdentityReason,
    QueryError,
    QueryReason,
    StoreUnavailableError,
    TocsinError,
    UsageError,
)

if TYPE_CHECKING:
    from cloud.config import InfluxStoreSection
    from cloud.query.influxql import InfluxServer

app = new_app(
    "Ask the store: SQL for the embedded store and InfluxDB 3, InfluxQL for InfluxDB 1 and 2."
)

_SOCKET = "spine.sock"


@app.command(no_args_is_help=True)
def query(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT.")],
    form: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "table",
    data: Annotated[
        Path | None, typer.Option(help="Data directory of a cloud; default: the last one started.")
    ] = None,
    url: Annotated[str, typer.Option(help="Ask a running cloud at this address instead.")] = "",
    token: Annotated[
        str, typer.Option(envvar="TOCSIN_TOKEN", help="API token for --url or --influx-url.")
    ] = "",
    language: Annotated[str, typer.Option(help="sql or influxql.")] = "sql",
    influx_url: Annotated[
        str, typer.Option(help="InfluxDB to ask, such as http://127.0.0.1:8086.")
    ] = "",
    database: Annotated[str, typer.Option(help="Its database or bucket.")] = "tocsin",
    username: Annotated[str, typer.Option(help="Its account (1.x).")] = "",
    password: Annotated[
        str, typer.Option(envvar="TOCSIN_INFLUX_PASSWORD", help="Its password (1.x).")
    ] = "",
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="cloud.toml that names the store.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file.")
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100_000,
    timeout_s: Annotated[float, typer.Option(min=0.01, help="At most so many seconds.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Answer one query. `--json` is `--format json`."""
    chosen = _format("json" if as_json else form, target)
    if language not in ("sql", "influxql"):
        raise UsageError(f"no such language: {language}", hint="sql or influxql")
    if url and data is not None:
        raise UsageError("--data and --url exclude each other", hint="give one of them")
    limits = Limits(timeout_s=timeout_s, max_rows=max_rows)
    store: InfluxStoreSection | None = None
    if config is not None:
        from cloud.config import InfluxStoreSection, load_cloud

        settings = load_cloud(config).value
        data = data or settings.cloud.data_dir
        if isinstance(settings.store, InfluxStoreSection):
            store = settings.store
    if influx_url or store is not None:
        named = _named(influx_url, database, token, username, password, timeout_s, store)
        result = _influx(named, text, language, store)
    elif url:
        result = _over_http(url, token, text, limits, language)
    else:
        result = _local(_data_directory(data), text, limits, language)
    if result.truncated:
        output.note(f"note: cut off after {result.rows} rows; --max-rows allows more")
    answer = render(result, chosen)
    if target is not None:
        try:
            target.write_bytes(answer)
        except OSError as exc:
            raise UsageError(
                f"{target} cannot be written: {exc.strerror}", hint="--output names a file"
            ) from exc
        output.note(f"{result.rows} rows written to {target}")
    else:
        sys.stdout.write(answer.decode() + ("\n" if chosen == "json" else ""))


def _format(name: str, target: Path | None) -> Format:
    chosen: Format | None = next((f for f in FORMATS if f == name), None)
    if chosen is None:
        raise UsageError(f"no such format: {name}", hint=", ".join(FORMATS))
    if chosen == "parquet" and target is None:
        raise UsageError("parquet is not for a terminal", hint="add --output FILE")
    return chosen


def _data_directory(chosen: Path | None) -> Path:
    if chosen is not None:
        return chosen
    last = last_cloud_dir()
    if last is None:
        import duckdb  # noqa: F401 - where even the database is missing, that is what to tell

        raise UsageError(
            "no cloud was started here yet",
            hint="name its data directory with --data, or its --url",
        )
    output.note(f"data: {last}")
    return last


def _local(directory: Path, text: str, limits: Limits, language: str) -> QueryResult:
    socket = directory / _SOCKET
    if socket.exists():
        from cloud.rpc.client import call_once
        from tocsin.errors import SpineError, SpineReason

        try:
            answer = call_once(
                socket,
                "query",
                call_timeout_s=limits.timeout_s + 10,
                sql=text,
                max_rows=limits.max_rows,
                timeout_s=limits.timeout_s,
                language=language,
            )
        except SpineError as exc:
            if exc.reason is not SpineReason.GONE:
                raise
        else:
            assert isinstance(answer, dict)  # noqa: S101 - the spine's own answer
            return from_answer(answer)
    if language == "influxql":
        raise QueryError(
            QueryReason.WRONG_LANGUAGE,
            "the embedded store speaks SQL, not InfluxQL",
            hint="leave --language out, or name an InfluxDB with --influx-url",
        )
    from cloud.stores.local.store import LocalStore

    inner = directory / "store"
    store = LocalStore(inner if inner.is_dir() else directory, read_only=True)
    try:
        return store.query(text, limits)
    finally:
        store.close()


def _over_http(url: str, token: str, text: str, limits: Limits, language: str) -> QueryResult:
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{url!r} is no http or https address", hint="--url http://HOST:PORT")
    body = {"q": text, "db": "tocsin", "format": "jsonl"}
    request = urllib.request.Request(  # noqa: S310 - checked here
        f"{url.rstrip('/')}/api/v3/query_{language}",
        json.dumps(body | {"max_rows": limits.max_rows, "timeout_s": limits.timeout_s}).encode(),
        {"Content-Type": "application/json"},
    )
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=limits.timeout_s + 10) as response:  # noqa: S310
            rows = [json.loads(line) for line in response.read().splitlines()]
            truncated = response.headers.get("X-Tocsin-Truncated") == "true"
            told = json.loads(response.headers.get("X-Tocsin-Columns") or "[]")
    except urllib.error.HTTPError as exc:
        raise _http_error(exc) from exc
    except (OSError, ValueError) as exc:
        raise StoreUnavailableError(f"{url} does not answer: {exc}") from exc
    return from_rows(told, rows, truncated=truncated)


def _http_error(exc: urllib.error.HTTPError) -> TocsinError:
    try:
        told = json.loads(exc.read(10_000))["error"]
        message, hint = str(told["message"]), str(told.get("hint", ""))
        reason = str(told.get("reason", ""))
    except (ValueError, KeyError, TypeError):
        message, hint, reason = f"{exc.code} {exc.reason}", "", ""
    if exc.code in (401, 403):
        refusal = next((r for r in IdentityReason if r == reason), IdentityReason.BAD_CREDENTIALS)
        more = hint or "name an API token with --token or TOCSIN_TOKEN"
        return IdentityError(refusal, message, hint=more)
    if exc.code >= 500:
        return StoreUnavailableError(message, hint=hint)
    known = next((r for r in QueryReason if r == reason), QueryReason.FAILED)
    return QueryError(known, message.removeprefix(f"{known.value}: "), hint=hint)


def _named(
    url: str,
    database: str,
    token: str,
    username: str,
    password: str,
    timeout_s: float,
    store: InfluxStoreSection | None,
) -> InfluxServer:
    """The InfluxDB that is meant; what the command line says comes before cloud.toml."""
    from cloud.query.influxql import InfluxServer

    if store is None:
        return InfluxServer(url, database, token, username, password, timeout_s)
    return InfluxServer(
        url or store.url,
        store.bucket,
        token or (store.token.reveal() if store.token else ""),
        username or store.username,
        password or (store.password.reveal() if store.password else ""),
        timeout_s,
        str(store.ca) if store.ca else None,
    )


def _influx(
    server: InfluxServer, text: str, language: str, store: InfluxStoreSection | None
) -> QueryResult:
    if language == "influxql":
        from cloud.query.influxql import ask

        return ask(server, text)
    from cloud.query.influx_sql import ask_sql, speaks_sql

    by_version = {"v1": False, "v2": False, "v3": True}
    known = by_version.get(store.version) if store is not None else None
    if known if known is not None else speaks_sql(server):
        return ask_sql(server, text)
    raise QueryError(
        QueryReason.WRONG_LANGUAGE,
        f"{server.url} is an InfluxDB 1 or 2; it speaks InfluxQL, not SQL",
        hint="add --language influxql",
    )
