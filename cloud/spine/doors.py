"""A store behind the three things the spine does with it: write, query, take line protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Literal, Protocol

from cloud.audit.model import Deleted
from cloud.config import CloudConfig, LocalStoreSection
from cloud.query.line_protocol import BadLine, Point, known_precision, parse
from cloud.query.result import Cell, Limits
from cloud.stores import Store
from cloud.stores.local.retention import STEPS_S
from cloud.stores.local.snapshot import Snapshot
from cloud.stores.local.store import LocalStore
from tocsin.contract.catalogue import is_identifier
from tocsin.errors import QueryError, QueryReason
from tocsin.sdk import Clock

MAX_SERIES_ROWS = 500_000
NEWEST_ROWS = 30_000_000  # of more, only what is recent is looked at: a start must not wait
NEWEST_SINCE = "WHERE time > now() - INTERVAL '1 hour'"
Language = Literal["sql", "influxql"]


class Door(Protocol):
    """A store with its query side. Every method blocks; all but `store` are called from query threads."""

    store: Store

    def query(
        self, text: str, max_rows: int, timeout_s: float, language: Language
    ) -> dict[str, object]:
        """One SELECT."""
        ...

    def write_lp(self, body: str, precision: str, bucket: str) -> dict[str, object]:
        """Line protocol; what was refused, by line."""
        ...

    def series(
        self, measurement: str, site: str, device: str, quantity: str, from_ns: int, to_ns: int
    ) -> tuple[list[int], list[Cell], list[Cell]]:
        """Times, values and quality of one quantity, by time."""
        ...

    def means(
        self, measurement: str, site: str, device: str, quantity: str, from_ns: int, to_ns: int
    ) -> tuple[list[int], list[Cell], int]:
        """Times and means of what was deleted by policy and down-sampled before, and until when it was; 0: nothing was."""
        ...

    def newest(self) -> list[dict[str, Cell]]:
        """The newest row of every device, to know last values at once after a start."""
        ...

    def deleted_of(self, gateway: str, from_ns: int | None, to_ns: int | None) -> list[Deleted]:
        """What the policy deleted of a gateway, of days in the time asked for."""
        ...

    def snapshot(self) -> Snapshot | None:
        """What a backup copies; None: the readings are elsewhere."""
        ...

    def close(self) -> None:
        """Flush and release; after the last call of everything else."""
        ...


def taken(
    body: str,
    precision: str,
    now_ns: int,
    write: Callable[[list[Point], int], tuple[int, list[BadLine]]],
) -> dict[str, object]:
    """The answer of `write_lp`: good lines given to `write`, the others by number and reason.

    Raises:
        QueryError: an unknown precision.
    """
    if not known_precision(precision):
        raise QueryError(QueryReason.SYNTAX, f"precision {precision!r:.20}")
    points, bad = parse(body, precision)
    written, refused = write(points, now_ns)
    rejected = sorted([*bad, *refused], key=lambda line: line.line)
    return {"written": written, "rejected": [asdict(line) for line in rejected]}


class LocalDoor:
    """The embedded store."""

    def __init__(self, config: CloudConfig, section: LocalStoreSection, clock: Clock) -> None:
        directory = config.store_directory
        assert directory is not None  # noqa: S101 - `section` is the embedded store's
        self._store = LocalStore(directory, section)
        self._store.keep_rolling(clock)
        self._clock = clock
        self.store: Store = self._store

    def close(self) -> None:
        self._store.close()

    def snapshot(self) -> Snapshot | None:
        return self._store.snapshot()

    def deleted_of(self, gateway: str, from_ns: int | None, to_ns: int | None) -> list[Deleted]:
        return self._store.deleted_of(gateway, from_ns, to_ns)

    def query(
        self, text: str, max_rows: int, timeout_s: float, language: Language
    ) -> dict[str, object]:
        if language == "influxql":
            raise QueryError(
                QueryReason.WRONG_LANGUAGE,
                "the embedded store speaks SQL, not InfluxQL",
                hint="leave --language out, or name an InfluxDB with --influx-url",
            )
        return self._store.query(text, Limits(timeout_s=timeout_s, max_rows=max_rows)).as_dict()

    def write_lp(self, body: str, precision: str, bucket: str) -> dict[str, object]:
        return taken(body, precision, self._clock.now_ns(), self._store.write_points)

    def series(
        self, measurement: str, site: str, device: str, quantity: str, from_ns: int, to_ns: int
    ) -> tuple[list[int], list[Cell], list[Cell]]:
        if not is_identifier(quantity) or measurement not in self._store.measurements():
            return [], [], []
        there = f'"{quantity}" IS NOT NULL OR "{quantity}_q" > 0'
        columns = f'"{quantity}" AS v, "{quantity}_q" AS q'
        found = self._points(measurement, columns, there, device, site, from_ns, to_ns)
        times, values, quality = found or ([], [], [])
        return [t for t in times if isinstance(t, int)], values, [q or 0 for q in quality]

    def means(
        self, measurement: str, site: str, device: str, quantity: str, from_ns: int, to_ns: int
    ) -> tuple[list[int], list[Cell], int]:
        until_ns = 0
        if is_identifier(quantity) and measurement in self._store.measurements():
            until_ns = min(self._store.deleted_until_ns(measurement), to_ns)
        times: list[int] = []
        values: list[Cell] = []
        before_ns = until_ns
        for suffix in STEPS_S:  # of what has no bins of a minute any more those of an hour
            table = f"{measurement}_{suffix}"
            if before_ns <= from_ns or table not in self._store.tables():
                continue
            mean = f"{quantity}_mean"
            found = self._points(
                table, f'"{mean}" AS v', f'"{mean}" IS NOT NULL', device, site, from_ns, before_ns
            )
            if found and found[0]:
                older = [t for t in found[0] if isinstance(t, int)]
                times, values, before_ns = older + times, found[1] + values, older[0]
        return times, values, until_ns if times else 0

    def _points(
        self,
        table: str,
        columns: str,
        there: str,
        device: str,
        site: str,
        from_ns: int,
        to_ns: int,
    ) -> list[list[Cell]] | None:
        """Times and these columns, by time; None: nothing was ever stored of them."""
        sql = (
            f'SELECT time, {columns} FROM "{table}" WHERE device = $device AND site = $site '  # noqa: S608 - names were checked
            "AND time >= make_timestamp_ns($from_ns) AND time < make_timestamp_ns($to_ns) "
            f"AND ({there}) ORDER BY time"
        )
        params: dict[str, Cell] = {
            "device": device, "site": site, "from_ns": from_ns, "to_ns": to_ns,
        }  # fmt: skip
        try:
            return self._store.query(sql, Limits(max_rows=MAX_SERIES_ROWS), params).data
        except QueryError as exc:
            if exc.reason is QueryReason.UNKNOWN_NAME:
                return None
            raise

    def newest(self) -> list[dict[str, Cell]]:
        rows: list[dict[str, Cell]] = []
        for measurement in self._store.measurements():
            try:
                (total,) = self._store.query(f'SELECT count(*) FROM "{measurement}"').data[0]  # noqa: S608 - a name of our own schema
                of_late = isinstance(total, int) and total > NEWEST_ROWS
                sql = (
                    f'SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY site, device ORDER BY time DESC) AS nth_ FROM "{measurement}"'  # noqa: S608
                    f"{' ' + NEWEST_SINCE if of_late else ''}) WHERE nth_ = 1"
                )
                found = self._store.query(sql, Limits(timeout_s=10.0, max_rows=100_000))
            except QueryError:
                continue  # last values then come with the next readings
            names = [c.name for c in found.columns]
            rows += [
                {"measurement": measurement, **dict(zip(names, row, strict=True))}
                for row in zip(*found.data, strict=True)
            ]
        return rows
