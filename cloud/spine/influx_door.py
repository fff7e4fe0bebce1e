"""An InfluxDB behind the spine: written by line protocol, asked in its own language with the cloud's own account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from cloud.audit.model import Deleted
from cloud.config import InfluxStoreSection
from cloud.query.formats import iso_time
from cloud.query.influx_sql import ask_sql, speaks_sql
from cloud.query.influxql import InfluxServer, ask, fetch
from cloud.query.influxql_gate import check_influxql
from cloud.query.result import Cell, QueryResult
from cloud.spine.doors import MAX_SERIES_ROWS, Language, taken
from cloud.stores import Store
from cloud.stores.influx.keeper import SqlLedger
from cloud.stores.influx.points import PointWriter
from cloud.stores.influx.store import InfluxStore
from cloud.stores.influx.transport import InfluxOptions
from tocsin.contract.catalogue import is_identifier
from tocsin.errors import QueryError, QueryReason, TocsinError
from tocsin.sdk import Clock

NEWEST_TIMEOUT_S = 5.0
_NEWEST = "SELECT * FROM /.*/ GROUP BY site, device ORDER BY time DESC LIMIT 1"


def server_of(section: InfluxStoreSection) -> InfluxServer:
    """Where `[store]` says to ask, and as whom."""
    return InfluxServer(
        section.url,
        section.bucket,
        section.token.reveal() if section.token else "",
        section.username,
        section.password.reveal() if section.password else "",
        section.timeout_s,
        str(section.ca) if section.ca else None,
    )


def options_of(section: InfluxStoreSection) -> InfluxOptions:
    """Where `[store]` says to write."""
    server = server_of(section)
    return InfluxOptions(
        url=server.url,
        bucket=server.database,
        org=section.org,
        token=server.token,
        username=server.username,
        password=server.password,
        api=section.version,
        timeout_s=server.timeout_s,
        ca=server.ca,
    )


class InfluxDoor:
    """Ledger in the state database of `engine`, everything else in InfluxDB."""

    def __init__(self, section: InfluxStoreSection, engine: Engine, clock: Clock) -> None:
        options = options_of(section)
        self.store: Store = InfluxStore(options, SqlLedger(engine))
        self._points = PointWriter(options)
        self._server = server_of(section)
        self._clock = clock
        known = {"v1": False, "v2": False, "v3": True}
        self._speaks_sql: bool | None = known.get(section.version)

    def close(self) -> None:
        self.store.close()
        self._points.close()

    def snapshot(self) -> None:
        return None

    def deleted_of(self, gateway: str, from_ns: int | None, to_ns: int | None) -> list[Deleted]:
        return []  # retention is the InfluxDB's own, and it does not tell

    def query(
        self, text: str, max_rows: int, timeout_s: float, language: Language
    ) -> dict[str, object]:
        server = replace(self._server, timeout_s=timeout_s)
        if language == "influxql":
            found = ask(server, check_influxql(text))
        elif self._is_sql():
            found = ask_sql(server, text)
        else:
            raise QueryError(
                QueryReason.WRONG_LANGUAGE,
                "this cloud's store is an InfluxDB 1 or 2; it speaks InfluxQL, not SQL",
                hint='tocsin query --language influxql "SELECT max(h2s) FROM gas GROUP BY device"',
            )
        return _cut(found, max_rows).as_dict()

    def write_lp(self, body: str, precision: str, bucket: str) -> dict[str, object]:
        return taken(body, precision, self._clock.now_ns(), self._points.write)

    def series(
        self, measurement: str, site: str, device: str, quantity: str, from_ns: int, to_ns: int
    ) -> tuple[list[int], list[Cell], list[Cell]]:
        if not is_identifier(quantity) or not is_identifier(measurement):
            return [], [], []
        names = f'SELECT "{quantity}", "{quantity}_q" FROM "{measurement}"'  # noqa: S608 - names were checked
        ending = f"ORDER BY time LIMIT {MAX_SERIES_ROWS}"
        if self._is_sql():
            names = names.replace("SELECT", "SELECT time,", 1)
            where = f"device = {_sql_text(device)} AND site = {_sql_text(site)}"
            span = f"time >= '{iso_time(from_ns)}Z' AND time < '{iso_time(to_ns)}Z'"
            try:
                found = ask_sql(self._server, f"{names} WHERE {where} AND {span} {ending}")
            except QueryError as exc:
                if exc.reason is QueryReason.TIME_LIMIT:
                    raise
                return [], [], []  # to SQL a column that was never written is a mistake
        else:
            where = f"device = {_influxql_text(device)} AND site = {_influxql_text(site)}"
            span = f"time >= {from_ns} AND time < {to_ns}"
            found = ask(self._server, f"{names} WHERE {where} AND {span} {ending}")
        columns = {c.name: cells for c, cells in zip(found.columns, found.data, strict=True)}
        times = [t for t in columns.get("time", []) if isinstance(t, int)]
        nothing: list[Cell] = [None] * len(times)
        quality = columns.get(f"{quantity}_q", nothing)
        return times, columns.get(quantity, nothing), [q or 0 for q in quality]

    def means(
        self, measurement: str, site: str, device: str, quantity: str, from_ns: int, to_ns: int
    ) -> tuple[list[int], list[Cell], int]:
        return [], [], 0  # down-samples are the InfluxDB's own

    def newest(self) -> list[dict[str, Cell]]:
        """Of InfluxDB 1 and 2; with others last values come with the next readings."""
        try:
            if self._is_sql():
                return []
            return _rows(fetch(replace(self._server, timeout_s=NEWEST_TIMEOUT_S), _NEWEST))
        except (TocsinError, KeyError, TypeError, AttributeError):
            return []  # away, too slow, or no InfluxDB at all: nothing that may hold up ingest

    def _is_sql(self) -> bool:
        if self._speaks_sql is None:
            self._speaks_sql = speaks_sql(self._server)
        return self._speaks_sql


def _rows(answer: dict[str, Any]) -> list[dict[str, Cell]]:
    return [
        {"measurement": one["name"], **one["tags"], **dict(zip(one["columns"], cells, strict=True))}
        for result in answer["results"]
        for one in result.get("series", ())
        for cells in one["values"]
    ]


def _cut(found: QueryResult, max_rows: int) -> QueryResult:
    if found.rows <= max_rows:
        return found
    return QueryResult(found.columns, [cells[:max_rows] for cells in found.data], truncated=True)


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _influxql_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
