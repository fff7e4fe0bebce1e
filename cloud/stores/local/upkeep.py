"""One round of what the store does with days that are over: sample, merge, delete by policy. Runs beside writing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from cloud.stores.local.cold_files import DAY_NS, MERGED, Step
from cloud.stores.local.down_sample import sample_day, sampled_days
from cloud.stores.local.merge import merge_day
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.retention import STEPS_S, rule_of
from cloud.stores.local.retire import retire_bins, retire_rows
from cloud.stores.local.roll_over import Rolled
from cloud.stores.local.schema import Schema
from tocsin.errors import StoreError

QUIET_NS = 3600 * 10**9  # a day that got rows later than this ago is left alone
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class _Day:
    measurement: str
    date: str
    end_ns: int
    files: list[str]


class Upkeep:
    """`lock` excludes the writer from commits. Files that were replaced or deleted stay for one round, for whoever reads them."""

    def __init__(
        self, cold: Path, options: LocalOptions, lock: AbstractContextManager[object]
    ) -> None:
        self._cold, self._options, self._lock = cold, options, lock
        self._touched: dict[tuple[str, str], int] = {}
        self._leaving: list[str] = []
        self._readers = 0
        self._guard = threading.Lock()
        self.one_backup = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """While open, no file that was ever listed goes."""
        with self._guard:
            self._readers += 1
        try:
            yield
        finally:
            with self._guard:
                self._readers -= 1

    def note_rolled(self, rolled: list[Rolled], now_ns: int) -> None:
        """These days got rows now."""
        for one in rolled:
            name = one.path.rpartition("/")[2]
            self._touched[one.measurement, name.partition(".")[0]] = now_ns

    def run(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: Schema,
        *,
        now_ns: int,
        before_ns: int,
        step: Step,
        go_on: Callable[[], bool],
        may_delete: bool,
    ) -> None:
        """Every day that ended before `before_ns`, oldest first, while `go_on`. One that fails does not stop the others.

        Raises:
            StoreError: the first failure; what failed is tried again in the next round.
        """
        self._unlink_leaving()
        first: Exception | None = None
        known = sampled_days(connection)
        for day in self._days(connection, schema, before_ns):
            if not go_on():
                return
            try:
                self._one(connection, schema, day, known, now_ns, step, may_delete)
            except (duckdb.Error, OSError, StoreError) as exc:
                first = first or exc
                known = sampled_days(connection)
        for name, day_date in known:
            if not may_delete:
                break
            try:
                self._retire_bins(connection, name, day_date, now_ns, step)
            except (duckdb.Error, OSError) as exc:
                first = first or exc
        if first is not None:
            raise StoreError(f"upkeep of the store: {str(first).splitlines()[0]}") from first

    def _days(
        self, connection: duckdb.DuckDBPyConnection, schema: Schema, before_ns: int
    ) -> list[_Day]:
        found = connection.execute(
            "SELECT measurement, day, list(path ORDER BY path) FROM meta.cold GROUP BY ALL ORDER BY day, measurement"
        ).fetchall()
        days = [
            _Day(name, str(day), ((day - _EPOCH).days + 1) * DAY_NS, [str(p) for p in paths])
            for name, day, paths in found
            if name.lower() in schema.tables
        ]
        return [day for day in days if day.end_ns <= before_ns]

    def _one(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: Schema,
        day: _Day,
        known: dict[tuple[str, str], set[str]],
        now_ns: int,
        step: Step,
        may_delete: bool,
    ) -> None:
        """Do what is due of one day; `known` follows."""
        rule = rule_of(self._options.retention, day.measurement)
        is_over = may_delete and rule.is_raw_over(day.end_ns, now_ns)
        is_quiet = now_ns - self._touched.get((day.measurement, day.date), 0) >= QUIET_NS
        table = schema.tables[day.measurement.lower()]
        files = set(day.files)
        for suffix in rule.samples:
            name = f"{day.measurement}_{suffix}"
            if rule.is_sample_over(suffix, day.end_ns, now_ns):
                continue
            if name.lower() in schema.tables:
                raise StoreError(
                    f"{name} cannot hold bins of {day.measurement}: it is a measurement of its own"
                )
            made_of = known.get((name, day.date))
            if made_of is None or (not files <= made_of and (is_quiet or is_over)):
                known[name, day.date], replaced = sample_day(
                    connection,
                    table,
                    suffix,
                    day.date,
                    day.files,
                    made_of or set(),
                    cold=self._cold,
                    lock=self._lock,
                    step=_of(step, "sample"),
                )
                self._leaving += replaced
        if is_over:
            retire_rows(
                connection,
                day.measurement,
                day.date,
                day.files,
                cold=self._cold,
                lock=self._lock,
                now_ns=now_ns,
                step=_of(step, "retire"),
            )
            self._leaving += day.files
        elif is_quiet and _is_scattered(day.files) and _is_told(day, known):
            merged = merge_day(
                connection,
                day.measurement,
                day.date,
                day.files,
                cold=self._cold,
                tags=table.tags,
                lock=self._lock,
                step=_of(step, "merge"),
            )
            self._leaving += day.files
            self._touched.pop((day.measurement, day.date), None)
            for made_of in _of_day(day, known):
                if files <= made_of:
                    made_of.difference_update(files)
                    made_of.update(merged)

    def _retire_bins(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        day_date: str,
        now_ns: int,
        step: Step,
    ) -> None:
        measurement, _, suffix = name.rpartition("_")
        end_ns = ((date.fromisoformat(day_date) - _EPOCH).days + 1) * DAY_NS
        if rule_of(self._options.retention, measurement).is_sample_over(suffix, end_ns, now_ns):
            self._leaving += retire_bins(
                connection,
                name,
                day_date,
                cold=self._cold,
                lock=self._lock,
                step=_of(step, "retire-bins"),
            )

    def _unlink_leaving(self) -> None:
        with self._guard:
            if self._readers:
                return
            leaving, self._leaving = self._leaving, []
            for path in leaving:
                with suppress(OSError):  # what stays is removed at the next start
                    (self._cold / path).unlink()


def _of(step: Step, what: str) -> Step:
    return lambda name: step(f"{what}-{name}")


def _is_told(day: _Day, known: Mapping[tuple[str, str], set[str]]) -> bool:
    """Whether every down-sample of the day has all of its files, or none."""
    files = set(day.files)
    return all(files <= made_of or not files & made_of for made_of in _of_day(day, known))


def _of_day(day: _Day, known: Mapping[tuple[str, str], set[str]]) -> list[set[str]]:
    """What each down-sample of the day was made of."""
    names = [f"{day.measurement}_{suffix}" for suffix in STEPS_S]
    return [known[name, day.date] for name in names if (name, day.date) in known]


def _is_scattered(files: list[str]) -> bool:
    """Whether a day has more files than a merge leaves."""
    return len(files) > 1 and not all(path.endswith(f"{MERGED}.parquet") for path in files)
