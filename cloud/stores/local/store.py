"""The embedded store: written by one thread, looked after by another, queried from any."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from cloud.audit.model import Deleted
from cloud.query.door import check
from cloud.query.growth import check_texts
from cloud.query.line_protocol import BadLine, Point
from cloud.query.result import Cell, Limits, QueryResult
from cloud.query.run import run
from cloud.stores import Block, LedgerEntry, Rejected, Told, nobody, with_refusals
from cloud.stores.local.clock_guard import ClockGuard, last_looked_after, note_looked_after
from cloud.stores.local.cold_files import Step
from cloud.stores.local.database import COLD_NAME, open_database
from cloud.stores.local.fill import fill_rows
from cloud.stores.local.insert import insert
from cloud.stores.local.ledger import LedgerTable, Settled
from cloud.stores.local.options import LocalOptions
from cloud.stores.local.plan import plan
from cloud.stores.local.points import merge_points, plan_points
from cloud.stores.local.retention import DELETED
from cloud.stores.local.retire import deleted_of, deleted_until_ns
from cloud.stores.local.rewriting import Rewriting
from cloud.stores.local.roll_over import Rolled, move_days
from cloud.stores.local.roller import Roller
from cloud.stores.local.schema import Schema
from cloud.stores.local.snapshot import Snapshot, clear_snapshots
from cloud.stores.local.sort_hot import WINDOW_ROWS, sort_hot
from cloud.stores.local.taking_up import tidy
from cloud.stores.local.upkeep import Upkeep
from cloud.stores.local.views import rebuild_sample_view, rebuild_view
from tocsin.errors import StoreError, StoreUnavailableError
from tocsin.sdk import Clock

_QUERIES_END_S = 5.0
Work = Callable[[duckdb.DuckDBPyConnection], None]


class LocalStore:
    """`hot.duckdb` and `cold/` in one directory, owned by one process.

    `write` is called from one thread; `query` from any. A write that finds no memory stops the running queries.
    """

    shared = False

    def __init__(
        self, directory: Path, options: LocalOptions | None = None, *, read_only: bool = False
    ) -> None:
        self.directory = directory
        self.options = options or LocalOptions()
        self._read_only = read_only
        self._cold = directory / COLD_NAME
        self._commit_lock = (
            threading.Lock()
        )  # catalogue changes of writer and roll-over exclude each other
        self._rewriting = Rewriting(self._commit_lock)
        self._queries: set[duckdb.DuckDBPyConnection] = set()
        self._queries_changed = threading.Condition()
        self._writer_needs_memory = False
        self._roller: Roller | None = None
        self._keeper: duckdb.DuckDBPyConnection | None = None
        self._upkeep = Upkeep(self._cold, self.options, self._commit_lock)
        self._open()

    def _open(self) -> None:
        self._database = open_database(self.directory, self.options, read_only=self._read_only)
        if not self._read_only:
            tidy(self._database, self._cold)
            for table in Schema.read(self._database).tables.values():
                rebuild_view(self._database, table.name, self._cold)  # the directory may have moved
            clear_snapshots(self.directory)
        self._read_more_tables()
        if not self._read_only:
            for name in self._sampled:
                rebuild_sample_view(self._database, name, self._cold)
        self._schema = Schema.read(self._database)
        self._ledger = LedgerTable(self._database)
        self._commits = self._read_commits()

    def write(
        self, blocks: list[Block], ledger: list[LedgerEntry], told: Told = nobody
    ) -> list[Rejected]:
        """Rows and their ledger in one transaction, on disk when it returns."""
        with self._commit_lock:
            if ledger and all(self._ledger.has(entry) for entry in ledger):
                return []  # an earlier try was stored although it failed
            schema = self._schema.copy()
            accepted, rejected = plan(blocks, schema, self.options)
            ledger = with_refusals(ledger, blocks, rejected)
            left_out: list[Rejected] = []  # values, never whole rows

            def work(connection: duckdb.DuckDBPyConnection) -> None:
                left_out.clear()
                if schema.changed:
                    schema.apply(connection, self._cold)
                for measurement, members in accepted.items():
                    left_out.extend(insert(connection, measurement, members))
                if rejected or left_out:
                    told(rejected + left_out)
                if ledger:
                    self._ledger.append(connection, ledger)

            self._transaction(work)
            self._schema = Schema(schema.tables)
            self._ledger.committed(ledger)
        return rejected + left_out

    def write_points(self, points: Sequence[Point], now_ns: int) -> tuple[int, list[BadLine]]:
        """(rows written, lines refused). A row with the same tags and time gets the fields of the point.

        Raises:
            StoreUnavailableError: nothing was written; try again later.
        """
        with self._commit_lock:
            schema = self._schema.copy()
            rows, bad = plan_points(points, schema, self.options, now_ns)
            for members in rows.values():
                self._rewriting.changing(members.table.name, (key[0] for key in members.by_key))
            written = 0
            left_out: list[BadLine] = []

            def work(connection: duckdb.DuckDBPyConnection) -> None:
                nonlocal written
                written = 0
                left_out.clear()
                schema.apply(connection, self._cold)
                for members in rows.values():
                    n, archived = merge_points(connection, members, self._cold)
                    written += n
                    left_out.extend(archived)

            self._transaction(work)
            self._schema = Schema(schema.tables)
        return written, sorted(bad + left_out, key=lambda line: line.line)

    def roll_over(
        self,
        now_ns: int,
        step: Step = lambda _: None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> list[Rolled]:
        """Move what is older than `hot_hours` to Parquet, a day of a measurement at a time; writing goes on.

        Raises:
            StoreError: a day could not be moved; it stays hot and is tried again next time.
        """
        before_ns = self._before_ns(now_ns)
        moved: list[Rolled] = []
        try:
            with self._as_keeper() as cursor:
                schema, rewriting = self._schema, self._rewriting
                for rolled in move_days(cursor, schema, before_ns, self._cold, rewriting, step):
                    moved.append(rolled)
                    if not go_on():
                        break
        except (duckdb.Error, OSError) as exc:
            raise StoreError(f"roll-over stopped: {str(exc).splitlines()[0]}") from exc
        finally:
            self._upkeep.note_rolled(moved, now_ns)
        return moved

    def sort_hot(
        self,
        now_ns: int,
        step: Step = lambda _: None,
        go_on: Callable[[], bool] = lambda: True,
        *,
        rows: int = WINDOW_ROWS,
    ) -> int:
        """Put hot rows of a while ago in the order of their series, where there are `rows` or more; how many. Writing goes on.

        Raises:
            StoreError: they stay as they are; it is tried again next time.
        """
        try:
            with self._as_keeper() as cursor:
                return sort_hot(cursor, self._schema, now_ns, self._rewriting, step, go_on, rows)
        except duckdb.Error as exc:
            raise StoreError(f"putting rows in order: {str(exc).splitlines()[0]}") from exc

    def look_after(
        self,
        now_ns: int,
        step: Step = lambda _: None,
        go_on: Callable[[], bool] = lambda: True,
        *,
        may_delete: bool = True,
    ) -> None:
        """Roll over, sort what is hot; then down-sample, merge and delete days that are over, as the policy says. Writing goes on.

        Raises:
            StoreError: a part of it could not be done; it is tried again next time.
        """
        failed: StoreError | None = None
        try:
            self.roll_over(now_ns, step, go_on)
            self.sort_hot(now_ns, step, go_on)
        except StoreError as exc:  # a full disk stops it, and deleting by policy may make room
            failed = exc
        try:
            with self._as_keeper() as cursor:
                self._upkeep.run(
                    cursor,
                    self._schema,
                    now_ns=now_ns,
                    before_ns=self._before_ns(now_ns),
                    step=step,
                    go_on=go_on,
                    may_delete=may_delete,
                )
        except duckdb.Error as exc:
            raise StoreError(f"upkeep of the store: {str(exc).splitlines()[0]}") from exc
        finally:
            with suppress(duckdb.Error):  # then as they were
                self._read_more_tables()
        if failed is not None:
            raise failed

    def keep_rolling(self, clock: Clock) -> None:
        """`look_after` the store every `roll_interval_s` in a thread of its own until `close`."""
        with self._as_keeper() as cursor:
            guard = ClockGuard(last_looked_after(cursor))

        def look_after(go_on: Callable[[], bool]) -> None:
            now_ns = clock.now_ns()
            may_delete = guard.may_delete(now_ns, clock.mono_ns())
            self.look_after(now_ns, go_on=go_on, may_delete=may_delete)
            if not may_delete:  # a time that is doubted is not what the next process goes by
                return
            try:
                with self._as_keeper() as cursor:
                    note_looked_after(cursor, now_ns)
            except duckdb.Error as exc:
                raise StoreError(f"upkeep of the store: {str(exc).splitlines()[0]}") from exc

        self._roller = Roller(look_after, self.options.roll_interval_s)

    def snapshot(self) -> Snapshot:
        """What a backup copies: take it, copy, release it."""
        return Snapshot(self._database, self.directory, self._upkeep, self._as_query)

    def fill(self, blocks: list[Block]) -> list[Rejected]:
        """Values into rows of the same series and time, in one transaction; rows in cold files stay as they are."""
        with self._commit_lock:
            schema = self._schema.copy()
            accepted, rejected = plan(blocks, schema, self.options)
            for part in itertools.chain(*accepted.values()):
                self._rewriting.changing(part.block.measurement, part.block.time_ns.tolist())
            archived: list[Rejected] = []

            def work(connection: duckdb.DuckDBPyConnection) -> None:
                archived.clear()
                schema.apply(connection, self._cold)
                for measurement, members in accepted.items():
                    table = schema.tables[measurement.lower()]
                    archived.extend(fill_rows(connection, table, members, self._cold))

            self._transaction(work)
            self._schema = Schema(schema.tables)
        return rejected + archived

    def ledger(self, gateways: Collection[str] | None = None) -> Settled:
        """Copies of the settled ranges, as of the last write; of these gateways, or all."""
        with self._commit_lock:
            settled = self._ledger.snapshot()
        if gateways is None:
            return settled
        return {key: ranges for key, ranges in settled.items() if key[0] in gateways}

    def measurements(self) -> list[str]:
        """Names of all measurements."""
        return sorted(table.name for table in self._schema.tables.values())

    def tables(self) -> list[str]:
        """Names of all tables: measurements, their down-samples, and what the policy deleted."""
        return sorted([*self.measurements(), *self._sampled, *self._deleted])

    def deleted_of(
        self, gateway: str, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[Deleted]:
        """What the policy deleted of a gateway, of days in the time asked for."""
        with self._as_query() as cursor:
            return deleted_of(cursor, gateway, from_ns, to_ns)

    def deleted_until_ns(self, measurement: str) -> int:
        """Before that rows of this measurement were deleted by policy; 0: none were."""
        with self._as_query() as cursor:
            return deleted_until_ns(cursor, measurement)

    def query(
        self, sql: str, limits: Limits | None = None, params: Mapping[str, Cell] | None = None
    ) -> QueryResult:
        """The answer to one SELECT; blocks, so call it from a thread of its own.

        Raises:
            QueryError: refused by the door or stopped at a limit.
        """
        with self._as_query() as cursor:
            check_texts((params or {}).values())
            statement = check(sql, self.tables(), cursor)
            return run(cursor, statement, limits or Limits(), params)

    def close(self) -> None:
        """Stop running queries, fold the log into the file, release it."""
        if self._roller:
            self._roller.stop(self._interrupt_keeper)
        self._interrupt_queries()
        with self._commit_lock, suppress(duckdb.Error):
            self._database.close()

    @contextmanager
    def _as_query(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that a writer in want of memory may stop; none is made while the file is opened anew."""
        with self._queries_changed:
            self._queries_changed.wait_for(lambda: not self._writer_needs_memory, _QUERIES_END_S)
            try:
                cursor = self._database.cursor()
            except duckdb.ConnectionException as exc:
                raise StoreUnavailableError(
                    "the embedded store is closed or being opened anew", hint="ask again"
                ) from exc
            self._queries.add(cursor)
        try:
            yield cursor
        finally:
            with self._queries_changed:  # nobody interrupts what is being closed
                cursor.close()
                self._queries.discard(cursor)
                self._queries_changed.notify_all()

    @contextmanager
    def _as_keeper(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for looking after the store, which `close` may stop."""
        self._keeper = cursor = self._database.cursor()
        try:
            yield cursor
        finally:
            self._keeper = None
            cursor.close()

    def _interrupt_keeper(self) -> None:
        if (cursor := self._keeper) is not None:
            with suppress(duckdb.Error):  # it ended just now
                cursor.interrupt()

    def _before_ns(self, now_ns: int) -> int:
        hour_ns = 3600 * 10**9
        return (now_ns - int(self.options.hot_hours * hour_ns)) // hour_ns * hour_ns

    def _read_more_tables(self) -> None:
        cursor = self._database.cursor()
        try:
            found = cursor.execute("SELECT DISTINCT name FROM meta.sampled").fetchall()
            self._sampled = [str(name) for (name,) in found]
            went = cursor.execute("SELECT 1 FROM meta.retired LIMIT 1").fetchone()
            self._deleted = [DELETED] if went else []
        finally:
            cursor.close()

    def _interrupt_queries(self) -> None:
        with self._queries_changed:
            for cursor in self._queries:
                cursor.interrupt()

    def _transaction(self, work: Work) -> None:
        """Run `work` in a transaction; once more without queries beside it when memory ran out."""
        before = self._commits
        broken = False
        try:
            self._attempt(work)
            return
        except (duckdb.OutOfMemoryException, duckdb.TransactionException):
            # where memory runs out beside a statement, the next one only says that the transaction is aborted
            pass
        except duckdb.FatalException:
            broken = True  # memory ran out in a rollback: the file has to be opened anew
        except duckdb.Error as exc:
            raise self._failure(exc) from exc
        try:
            self._stop_queries()
            if broken:
                self._reopen()
            if self._read_commits() == before:
                self._attempt(work)
            else:
                self._commits = before + 1
        except duckdb.Error as exc:
            raise self._failure(exc) from exc
        finally:
            self._let_queries_in()

    def _stop_queries(self) -> None:
        """No query runs, and none begins before `_let_queries_in`; waits for the last one, not for ever."""
        self._writer_needs_memory = True
        self._interrupt_queries()
        with self._queries_changed:
            self._queries_changed.wait_for(lambda: not self._queries, _QUERIES_END_S)

    def _let_queries_in(self) -> None:
        with self._queries_changed:
            self._writer_needs_memory = False
            self._queries_changed.notify_all()

    def _reopen(self) -> None:
        """The file closed and opened anew: DuckDB takes nothing more after some errors. Queries are stopped before."""
        with suppress(duckdb.Error):
            self._database.close()
        self._open()

    def _attempt(self, work: Work) -> None:
        connection = self._database.cursor()
        try:
            connection.execute("BEGIN")
            work(connection)
            connection.execute("UPDATE meta.commits SET n = ?", [self._commits + 1])
            connection.execute("COMMIT")
        except (duckdb.Error, StoreUnavailableError):
            with suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            # DuckDB may run out of memory after the commit is durable: trying again would double the rows
            if self._read_commits() == self._commits:
                raise
        finally:
            connection.close()
        self._commits += 1

    def _read_commits(self) -> int:
        cursor = self._database.cursor()
        try:
            row = cursor.execute("SELECT n FROM meta.commits").fetchone()
        finally:
            cursor.close()
        return int(row[0]) if row else 0

    def _is_unsure(self) -> bool:
        try:
            return self._read_commits() != self._commits
        except duckdb.Error:
            return True

    def _failure(self, exc: duckdb.Error) -> StoreError:
        """Nothing is known to be written. Where that cannot be told, the file is opened anew for the next try."""
        if self._is_unsure() or isinstance(
            exc, duckdb.FatalException | duckdb.InternalException | duckdb.ConnectionException
        ):
            self._stop_queries()
            try:
                self._reopen()
            except (duckdb.Error, StoreError, OSError) as again:
                exc = again if isinstance(again, duckdb.Error) else exc
            finally:
                self._let_queries_in()
        first_line = str(exc).splitlines()[0]
        if isinstance(exc, duckdb.ProgrammingError | duckdb.DataError):
            return StoreError(f"the embedded store cannot take a write: {first_line}")
        return StoreUnavailableError(
            f"the embedded store did not accept a write: {first_line}",
            hint=f"is {self.directory} writable, with free space?",
        )
