"""The permits of a gateway on disk: what the cloud told, and every entry. One SQLite file, each commit synced."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from tocsin.errors import OutboxError, OutboxFullError
from tocsin.permits.journal import Entry, entry_bytes, entry_hash, read_entry
from tocsin.permits.messages import PermitDown

FILE = "permits.db"
RESERVE_BYTES = 128 << 10  # for exits, suspensions and emergencies once everything else is refused
_LAYOUT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS permit (id TEXT PRIMARY KEY, told BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
  permit TEXT NOT NULL, source TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (permit, source, seq)) WITHOUT ROWID;
"""
_T = TypeVar("_T")
_log = logging.getLogger("edge.permits")


class Stored(msgspec.Struct, frozen=True):
    """One permit as it was kept: the newest message without its entries, and all entries in no order."""

    told: PermitDown
    entries: list[Entry]


class PermitJournal:
    """Use it from one event loop; one thread of its own does the work."""

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor, max_bytes: int) -> None:
        self._db, self._thread, self._max_bytes = db, thread, max_bytes

    @classmethod
    async def open(cls, directory: Path, max_bytes: int, now_ns: int) -> PermitJournal:
        """Open or make it. A damaged file is set aside under another name, and said.

        Raises:
            OutboxError: the disk refuses, or a newer version made it.
        """
        thread = ThreadPoolExecutor(1, "permit-journal")
        opening = asyncio.get_running_loop().run_in_executor(thread, _open, directory, now_ns)
        try:
            return cls(await opening, thread, max_bytes)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def load(self) -> list[Stored]:
        """Everything kept."""
        return await self._call(self._load)

    async def keep(
        self, told: PermitDown | None, entries: Sequence[Entry], *, urgent: bool = False
    ) -> None:
        """Keep all or nothing; returns when it is on the disk. `urgent` may use the reserve.

        Raises:
            OutboxFullError: there is no room.
            OutboxError: the disk refuses.
        """
        await self._call(lambda: self._keep(told, entries, urgent))

    async def forget(self, permit: str) -> None:
        """Everything about one permit goes."""
        await self._call(lambda: self._forget(permit))

    async def aclose(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as exc:
            raise OutboxError(f"the permit journal: {exc}", hint="is the disk full?") from exc

    def _load(self) -> list[Stored]:
        found = []
        rows = self._db.execute("SELECT id, told FROM permit ORDER BY id").fetchall()
        for permit, told in rows:
            try:
                entries = list(_entries(self._db, permit))
                found.append(Stored(msgspec.json.decode(told, type=PermitDown), entries))
            except msgspec.MsgspecError as exc:
                _log.error("permit %s cannot be read and is left out: %s", permit, exc)
        return found

    def _keep(self, told: PermitDown | None, entries: Sequence[Entry], urgent: bool) -> None:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (size,) = self._db.execute("PRAGMA page_size").fetchone()
        coming = sum(len(entry_bytes(e)) for e in entries)
        coming += len(msgspec.json.encode(told)) if told is not None else 0
        room = self._max_bytes - (0 if urgent else RESERVE_BYTES) - (pages - free) * size
        if coming > room:
            raise OutboxFullError(
                f"the permit journal is full ({self._max_bytes} bytes)",
                hint="close permits that have ended, or raise max_bytes in [permits]",
            )
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if told is not None:
                bare = msgspec.structs.replace(told, entries=(), sig="")
                self._db.execute(
                    "INSERT INTO permit VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET told = excluded.told",
                    (told.permit, msgspec.json.encode(bare)),
                )
            for entry in entries:
                row = (entry.permit, entry.source, entry.seq, entry_hash(entry), entry_bytes(entry))
                self._db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", row)

    def _forget(self, permit: str) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM entry WHERE permit = ?", (permit,))
            self._db.execute("DELETE FROM permit WHERE id = ?", (permit,))


def _entries(db: sqlite3.Connection, permit: str) -> Iterable[Entry]:
    for stored, body in db.execute("SELECT hash, body FROM entry WHERE permit = ?", (permit,)):
        entry = read_entry(body)
        if entry_hash(entry) != stored:
            raise msgspec.ValidationError(f"entry {entry.seq} of {entry.source} was changed")
        yield entry


def _open(directory: Path, now_ns: int) -> sqlite3.Connection:
    path = directory / FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:
            aside = path.with_name(f"{FILE}.damaged-{now_ns}")
            _log.error("the permit journal is damaged (%s): kept as %s", exc, aside.name)
            for tail in ("", "-wal", "-shm"):
                if (old := path.with_name(FILE + tail)).exists():
                    old.replace(aside.with_name(aside.name + tail))
            return _connect(path)
    except (OSError, sqlite3.Error) as exc:
        raise OutboxError(
            f"the permit journal in {directory} cannot be opened: {exc}",
            hint="are the directory's permissions right, is there room on the disk?",
        ) from exc


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        db.execute(
            "PRAGMA locking_mode = EXCLUSIVE"
        )  # no file of shared memory, for which a full disk has no room
        path.chmod(0o600)  # it holds capability keys, sealed, and people's names
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > _LAYOUT:
            raise OutboxError(
                f"{path} has layout {version}, this version knows {_LAYOUT}",
                hint="install the newer version again",
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 1048576")
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        if version < _LAYOUT:
            db.executescript(_TABLES)
            db.execute(f"PRAGMA user_version = {_LAYOUT}")
        opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except BaseException:
        db.close()
        raise
    return db
