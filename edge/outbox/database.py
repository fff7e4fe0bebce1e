"""The outbox file: its lock and pragmas."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from edge.outbox.layout import VERSION, upgrade, version_of
from tocsin.errors import OutboxError, OutboxLockedError

FILE = "outbox.db"
SUSPECT = "outbox.suspect"  # lies beside a file that was found damaged while in use
_HIGHEST_VERSION = 1000  # beyond it the number itself is damaged
_CHECKED_BYTES = 64 << 20  # a larger file is not read through at start
Fsync = Literal["none", "batch", "always"]

# Values that SQLite finds in order and we never wrote.
_STRANGE = """
SELECT
  (SELECT count(*) FROM chunk WHERE stream NOT IN (SELECT id FROM stream)
    OR cls NOT IN ('alarm', 'event', 'telemetry') OR typeof(payload) <> 'blob'
    OR typeof(first_seq) || typeof(rows) || typeof(bytes) <> 'integerintegerinteger')
+ (SELECT count(*) FROM chunk JOIN stream ON stream.id = chunk.stream
    WHERE first_seq + rows > next_seq)
+ (SELECT count(*) FROM settled
    WHERE typeof(stream) || typeof(lo) || typeof(hi) <> 'integerintegerinteger')
+ (SELECT count(*) FROM stream WHERE cls NOT IN ('alarm', 'event', 'telemetry')
    OR length(ulid) <> 26
    OR typeof(next_seq) || typeof(wall_ns) || typeof(epoch) <> 'integerintegerinteger')
+ (SELECT count(*) FROM held
    WHERE typeof(power_on) || typeof(rows) || typeof(mono_max) <> 'textintegerinteger')
"""
_REFUSALS = tuple(
    f"SQLITE_{code}"
    for code in (
        "BUSY",
        "CANTOPEN",
        "FULL",
        "INTERRUPT",
        "IOERR",
        "LOCKED",
        "NOMEM",
        "PERM",
        "READONLY",
    )
)
LOG_PAGES = 1000  # so long may SQLite's log get before a commit of telemetry folds it into the file
URGENT_LOG_PAGES = 2000  # and before that of an alarm does, with two more syncs while people wait
_SYNCHRONOUS = {"none": "OFF", "batch": "NORMAL", "always": "FULL"}


class DirectoryLock:
    """An exclusive lock on an outbox directory, held until closed or the process ends."""

    def __init__(self, directory: Path) -> None:
        path = directory / "outbox.lock"
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            if exc.errno != errno.EROFS or not path.exists():
                raise
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise OutboxLockedError(
                f"the outbox {directory} is in use by process {owner}",
                hint="is another agent running with the same data_dir?",
            ) from None
        with suppress(OSError):  # the number is for people; a full disk has no room for it
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._fd)


def refuses(error: sqlite3.DatabaseError) -> bool:
    """Whether the disk says no, while the file may be in order. One that cannot be read is damaged."""
    name = getattr(error, "sqlite_errorname", "")
    return name != "SQLITE_IOERR_READ" and name.startswith(_REFUSALS)


def connect(path: Path, fsync: Fsync) -> sqlite3.Connection:
    """Open or create the file.

    Raises:
        OutboxError: made by a newer version.
        sqlite3.DatabaseError: it cannot be read.
    """
    log = path.with_name(path.name + "-wal")
    size = path.stat().st_size if path.exists() else 0
    if not size and (path.exists() or log.exists()):  # SQLite would delete the log unread
        raise sqlite3.DatabaseError("the file is empty")
    db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    try:
        version = version_of(db)
        if not 0 <= version <= _HIGHEST_VERSION or (size and not version):
            raise sqlite3.DatabaseError(f"layout {version}")
        if version > VERSION:
            raise OutboxError(
                f"{path} has layout {version}, this version knows {VERSION}",
                hint="install the newer version again, or move the file away to start anew",
            )
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[fsync]}")
        db.execute(f"PRAGMA journal_size_limit = {8 << 20}")
        db.execute("PRAGMA cache_size = -1024")
        if (path.parent / SUSPECT).exists():
            raise sqlite3.DatabaseError("damage was found while it was in use")
        checking = path.stat().st_size < _CHECKED_BYTES
        if version and checking:
            (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        upgrade(db)
        if version and checking:
            (strange,) = db.execute(_STRANGE).fetchone()
            if strange:
                raise sqlite3.DatabaseError(f"{strange} rows make no sense")
    except BaseException:
        db.close()
        raise
    return db


def fold_log_at(db: sqlite3.Connection, pages: int) -> None:
    """The commit that makes the log so long folds it into the file."""
    db.execute(f"PRAGMA wal_autocheckpoint = {pages}").fetchone()


def is_volatile(directory: Path) -> bool:
    """Whether the directory lies in memory and is gone after a power cut."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1] in ("tmpfs", "ramfs")
    return False
