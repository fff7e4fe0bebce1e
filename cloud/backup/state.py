"""The relational state in a backup: the SQLite file, copied by SQLite itself while others write."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from cloud.backup.manifest import SavedState
from cloud.db.upgrade import HEAD
from tocsin.errors import BackupError

FILE = "state.db"


def copy_state(source: Path, target: Path) -> SavedState:
    """Copy what is committed now.

    Raises:
        BackupError: it cannot be read.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
            writer.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        with target.open("rb") as file:
            os.fsync(file.fileno())
        return look_at(target)
    except (sqlite3.Error, OSError) as exc:
        raise BackupError(f"the state database {source} cannot be copied: {exc}") from exc


def look_at(path: Path) -> SavedState:
    """What is in a state database.

    Raises:
        sqlite3.Error: it cannot be read, or is damaged.
    """
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        names = db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
        ).fetchall()
        rows = {
            str(name): int(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - a name of our own schema
            for (name,) in names
        }
        found = (
            "alembic_version" in rows
            and db.execute("SELECT version_num FROM alembic_version").fetchone()
        )
    return SavedState(str(found[0]) if found else "", rows)


def check_revision(state: SavedState) -> None:
    """Refuse a schema that this version does not know.

    Raises:
        BackupError: it is newer.
    """
    if state.revision > HEAD:
        raise BackupError(
            f"the state in this backup has schema {state.revision}, this version of Tocsin knows {HEAD}",
            hint="use the version that made it, or a newer one",
        )
