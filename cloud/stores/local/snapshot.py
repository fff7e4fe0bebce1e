"""What a backup takes of a store that goes on being written.

One read transaction copies hot rows, ledger and lists into `snapshot/hot.duckdb` and reads which cold files belong to
them: rows and ledger are those of one moment. Until it is released, none of these files goes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import duckdb
import msgspec

from cloud.stores.local.cold_files import fsync
from cloud.stores.local.database import COLD_NAME, FILE_NAME, SNAPSHOT_NAME
from cloud.stores.local.ledger import LedgerTable, Settled
from cloud.stores.local.names import literal, quoted
from cloud.stores.local.upkeep import Upkeep
from tocsin.errors import StoreError, StoreUnavailableError


class Count(msgspec.Struct, frozen=True):
    """Rows of one table, a measurement or a down-sample."""

    hot: int
    cold: int


class Taken(msgspec.Struct, frozen=True):
    """`hot` is to be copied, `cold` are paths below `store`. `ledger` is a digest of all settled ranges."""

    store: Path
    hot: Path
    cold: list[str]
    rows: dict[str, Count]
    streams: int
    numbers: int
    ledger: str


class Snapshot:
    """`take`, copy what it names, `release`. One at a time."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        directory: Path,
        upkeep: Upkeep,
        as_query: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
    ) -> None:
        self._directory, self._upkeep, self._as_query = directory, upkeep, as_query
        self._stack = ExitStack()
        self._cursor: duckdb.DuckDBPyConnection | None = None

    @property
    def hot(self) -> Path:
        """The copy in the making."""
        return self._directory / SNAPSHOT_NAME / FILE_NAME

    @property
    def bytes(self) -> int:
        """Size of the copy so far."""
        try:
            return self.hot.stat().st_size
        except OSError:
            return 0

    def take(self) -> Taken:
        """Copy; blocks for as long as that takes.

        Raises:
            StoreUnavailableError: another backup runs, or this one was stopped for want of memory.
            StoreError: it cannot be written.
        """
        if not self._upkeep.one_backup.acquire(blocking=False):
            raise StoreUnavailableError("a backup of this store is running already")
        self._stack.callback(self._upkeep.one_backup.release)
        self._stack.enter_context(self._upkeep.held())
        clear_snapshots(self._directory)
        self._stack.callback(clear_snapshots, self._directory)
        try:
            self.hot.parent.mkdir(mode=0o700)
            with self._as_query() as self._cursor:
                taken = self._copy(self._cursor)
            fsync(self.hot)
        except duckdb.InterruptException as exc:
            raise StoreUnavailableError(
                "the backup was stopped: the store needed the memory", hint="run it again"
            ) from exc
        except (duckdb.Error, OSError) as exc:
            raise StoreError(
                f"the store cannot be copied: {str(exc).splitlines()[0]}",
                hint=f"is there room in {self._directory} for another {FILE_NAME}?",
            ) from exc
        finally:
            self._cursor = None
        return taken

    def interrupt(self) -> None:
        """Stop a `take` that runs. From any thread."""
        if (cursor := self._cursor) is not None:
            cursor.interrupt()

    def release(self) -> None:
        """Remove the copy and let the files go."""
        self._stack.close()

    def _copy(self, cursor: duckdb.DuckDBPyConnection) -> Taken:
        name = str(cursor.execute("SELECT current_database()").fetchall()[0][0])
        cursor.execute(f"ATTACH {literal(str(self.hot.resolve()))} AS backup_")
        try:
            cursor.execute("BEGIN")
            cursor.execute(f"COPY FROM DATABASE {quoted(name)} TO backup_")
            cold = cursor.execute("SELECT path FROM meta.cold ORDER BY path").fetchall()
            rows = count_rows(cursor)
            settled = LedgerTable(cursor).settled
            cursor.execute("COMMIT")
        finally:
            with suppress(duckdb.Error):
                cursor.execute("ROLLBACK")
            with suppress(duckdb.Error):
                cursor.execute("DETACH backup_")
        return Taken(
            self._directory,
            self.hot,
            [f"{COLD_NAME}/{path}" for (path,) in cold],
            rows,
            len(settled),
            sum(ranges.count for ranges, _ in settled.values()),
            digest(settled),
        )


def clear_snapshots(directory: Path) -> None:
    """Remove what a killed backup left."""
    shutil.rmtree(directory / SNAPSHOT_NAME, ignore_errors=True)


def count_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, Count]:
    """Table -> its rows, hot and as listed of the cold files."""
    hot = {
        str(name): int(
            connection.execute(f"SELECT count(*) FROM recent.{quoted(name)}").fetchall()[0][0]
        )
        for (name,) in connection.execute(
            "SELECT DISTINCT measurement FROM meta.columns"
        ).fetchall()
    }
    cold = {
        str(name): int(rows)
        for name, rows in connection.execute(
            "SELECT measurement, sum(rows) FROM meta.cold GROUP BY 1"
        ).fetchall()
    }
    return {name: Count(hot.get(name, 0), cold.get(name, 0)) for name in sorted({*hot, *cold})}


def digest(settled: Settled) -> str:
    """SHA-256 over every stream's settled and rejected ranges, in order."""
    lines = [
        f"{gateway} {stream} {list(ranges)} {list(rejected)}\n"
        for (gateway, stream), (ranges, rejected) in sorted(settled.items())
        if ranges
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
