"""Open the state database: SQLite file (WAL, foreign keys on) or PostgreSQL URL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from cloud.db.turns import Turns
from tocsin.errors import StoreUnavailableError

BUSY_TIMEOUT_MS = 10_000
LOG_PAGES = 16_384  # 64 MiB: only a log that `fold_log` cannot keep down is folded in by a commit
_turns: WeakKeyDictionary[Engine, Turns] = WeakKeyDictionary()


def open_engine(place: str | Path) -> Engine:
    """An engine for a file path or a database URL. Safe for several processes at once."""
    url = _url(place)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    _turns[engine] = Turns()
    return engine


def _url(place: str | Path) -> URL:
    if isinstance(place, str) and "://" in place:
        return make_url(place)
    return URL.create("sqlite", database=str(place))


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, so that it can be IMMEDIATE
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _go_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"wal_autocheckpoint={LOG_PAGES}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _go_wal(cursor: sqlite3.Cursor) -> None:
    """SQLite's busy time-out does not hold for this: of several that open a new file at once, all but one are refused."""
    end_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a write fails at once with "database is locked" when another process
    # wrote in between; an immediate one waits for its turn.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def fold_log(engine: Engine) -> None:
    """Bring what was committed from SQLite's log into its file, beside readers and writers.

    Left to SQLite, a commit does it now and then, with two more syncs: an alarm's, as like as not.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        with suppress(sqlite3.OperationalError):  # a full or broken disk: later
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    finally:
        connection.close()


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads: it waits for no writer and holds none up."""
    with engine.connect().execution_options(reading=True) as connection:
        yield connection


def alone(c: Connection, table: Table) -> None:
    """Transactions that say this of one table take turns, until their end. SQLite has one writer anyway."""
    if c.dialect.name == "postgresql":
        c.execute(select(func.pg_advisory_xact_lock(func.hashtext(table.name))))


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A transaction of the ingest path, where a full disk or a database that is away means: later.

    Threads of one process that write to a SQLite file take turns here: it has no queue, who finds it taken sleeps and
    tries again, and may find it taken for seconds.

    Raises:
        StoreUnavailableError: nothing was written; try again later.
    """
    try:
        with _turns.get(engine) or nullcontext(), engine.begin() as connection:
            yield connection
    except (
        IntegrityError
    ) as exc:  # two ingesters found the same new at the same moment: the next try finds it
        raise StoreUnavailableError(f"another process wrote the same: {exc.orig}") from exc
    except OperationalError as exc:
        raise StoreUnavailableError(
            f"the state database does not accept a write: {exc.orig}",
            hint="is there free space, and does it answer?",
        ) from exc
