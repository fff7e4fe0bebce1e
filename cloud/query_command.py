"""`tocsin query`: one question to the store, answered as a table, csv, json, jsonl or parquet."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from cloud.query.formats import FORMATS, Format, from_answer, render
from cloud.query.result import Limits, QueryResult
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.paths import last_cloud_dir
from tocsin.errors import QueryError, QueryReason, StoreUnavailableError, TocsinError, UsageError

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
        str, typer.Option(help="InfluxDB 1.x or 2.x to ask, such as http://127.0.0.1:8086.")
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
    limits = Limits(timeout_s=timeout_s, max_rows=max_rows)
    if config is not None:
        from cloud.config import InfluxStoreSection, load_cloud

        settings = load_cloud(config).value
        data = data or settings.cloud.data_dir
        if isinstance(settings.store, InfluxStoreSection):
            influx_url = influx_url or settings.store.url
            database, username = settings.store.bucket, username or settings.store.username
            if settings.store.token:
                token = token or settings.store.token.reveal()
            if settings.store.password:
                password = password or settings.store.password.reveal()
    if language == "influxql":
        result = _influxql(text, influx_url, database, token, username, password, timeout_s)
    elif url:
        result = _over_http(url, token, text, limits)
    else:
        result = _local(_data_directory(data), text, limits)
    if result.truncated:
        output.note(f"note: cut off after {result.rows} rows; --max-rows allows more")
    answer = render(result, chosen)
    if target is not None:
        target.write_bytes(answer)
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
        raise UsageError(
            "no cloud was started here yet",
            hint="name its data directory with --data, or its --url",
        )
    output.note(f"data: {last}")
    return last


def _local(directory: Path, text: str, limits: Limits) -> QueryResult:
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
            )
        except SpineError as exc:
            if exc.reason is not SpineReason.GONE:
                raise
        else:
            assert isinstance(answer, dict)  # noqa: S101 - the spine's own answer
            return from_answer(answer)
    from cloud.stores.local.store import LocalStore

    inner = directory / "store"
    store = LocalStore(inner if inner.is_dir() else directory, read_only=True)
    try:
        return store.query(text, limits)
    finally:
        store.close()


def _over_http(url: str, token: str, text: str, limits: Limits) -> QueryResult:
    body = {"q": text, "db": "tocsin", "format": "jsonl"}
    request = urllib.request.Request(  # noqa: S310 - checked here
        f"{url.rstrip('/')}/api/v3/query_sql",
        json.dumps(body | {"max_rows": limits.max_rows, "timeout_s": limits.timeout_s}).encode(),
        {"Content-Type": "application/json"},
    )
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url} is not an http address")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=limits.timeout_s + 10) as response:  # noqa: S310
            rows = [json.loads(line) for line in response.read().splitlines()]
            truncated = response.headers.get("X-Tocsin-Truncated") == "true"
    except urllib.error.HTTPError as exc:
        raise _http_error(exc) from exc
    except OSError as exc:
        raise StoreUnavailableError(f"{url} does not answer: {exc}") from exc
    from cloud.query.influxql import to_result

    names = list(rows[0]) if rows else []
    plain = to_result({"series": [{"columns": names, "values": [list(r.values()) for r in rows]}]})
    return QueryResult(plain.columns, plain.data, truncated)


def _http_error(exc: urllib.error.HTTPError) -> TocsinError:
    try:
        told = json.loads(exc.read(10_000))["error"]
        message, hint = str(told["message"]), str(told.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        message, hint = f"{exc.code} {exc.reason}", ""
    if exc.code in (401, 403):
        hint = hint or "name an API token with --token or TOCSIN_TOKEN"
    if exc.code >= 500:
        return StoreUnavailableError(message, hint=hint)
    return QueryError(QueryReason.FAILED, message, hint=hint)


def _influxql(
    text: str, url: str, database: str, token: str, username: str, password: str, timeout_s: float
) -> QueryResult:
    if not url:
        raise QueryError(
            QueryReason.WRONG_LANGUAGE,
            "the embedded store speaks SQL, not InfluxQL",
            hint="leave --language out, or name an InfluxDB with --influx-url",
        )
    from cloud.query.influxql import InfluxServer, ask

    return ask(InfluxServer(url, database, token, username, password, timeout_s), text)
