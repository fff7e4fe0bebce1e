"""Layouts of the outbox file: the step from each to the next, and back."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from tocsin.errors import OutboxError


class Step(NamedTuple):
    """From one layout to the next.

    `homeless`: what the older layout has no place for, and a query (with `:now_ns`) that counts it; while there is any,
    there is no way back.
    """

    up: str
    down: str = ""
    homeless: tuple[tuple[str, str], ...] = ()


# `dropped` is no longer written; it goes with the next layout.
# An id is never used twice, so that a reader's position stays valid when rows before it are deleted.
_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stream (
  id INTEGER PRIMARY KEY, cls TEXT NOT NULL, ulid TEXT NOT NULL UNIQUE,
  next_seq INTEGER NOT NULL, live INTEGER NOT NULL
);
CREATE TABLE settled (
  stream INTEGER NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL, PRIMARY KEY (stream, lo)
) WITHOUT ROWID;
CREATE TABLE dropped (
  stream INTEGER NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL, at_ns INTEGER NOT NULL
);
CREATE TABLE chunk (
  id INTEGER PRIMARY KEY AUTOINCREMENT, cls TEXT NOT NULL, stream INTEGER NOT NULL, first_seq INTEGER NOT NULL,
  rows INTEGER NOT NULL, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL, bytes INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE UNIQUE INDEX chunk_by_seq ON chunk (stream, first_seq, rows, bytes);
CREATE INDEX chunk_by_class ON chunk (cls, id);
"""
# Rows without a known time, commands carried out, and the wall clock at the last commit of telemetry.
_SECOND = Step(
    up="""
CREATE TABLE held (
  id INTEGER PRIMARY KEY AUTOINCREMENT, power_on TEXT NOT NULL, rows INTEGER NOT NULL, mono_max INTEGER NOT NULL,
  payload BLOB NOT NULL
);
CREATE TABLE command (id TEXT PRIMARY KEY, expires_ns INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE stream ADD COLUMN wall_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
""",
    down="""
DROP TABLE held;
DROP TABLE command;
ALTER TABLE stream DROP COLUMN wall_ns;
ALTER TABLE stream DROP COLUMN epoch;
DELETE FROM meta WHERE key NOT IN ('site', 'gateway'); -- layout 1 takes any other for another gateway's
""",
    homeless=(
        ("rows that wait for a known time", "SELECT coalesce(sum(rows), 0) FROM held"),
        (
            "commands that must not run again until they expire",
            "SELECT count(*) FROM command WHERE expires_ns > :now_ns",
        ),
        (
            "commands without a result",
            "SELECT count(*) FROM meta WHERE key >= 'order:' AND key < 'order;'",
        ),
    ),
)
STEPS = (Step(_FIRST), _SECOND)
VERSION = len(STEPS)


def version_of(db: sqlite3.Connection) -> int:
    """The layout of an open file; 0 is an empty one."""
    (found,) = db.execute("PRAGMA user_version").fetchone()
    return int(found)


def upgrade(db: sqlite3.Connection) -> None:
    """Bring it to this version's layout, in one transaction: whatever ends it in between, the file is as it was."""
    news = "".join(step.up for step in STEPS[version_of(db) :])
    if news:
        db.executescript(f"BEGIN IMMEDIATE; {news} PRAGMA user_version = {VERSION}; COMMIT;")


def go_back(db: sqlite3.Connection, to: int, now_ns: int) -> None:
    """Give it an older layout, in one transaction; all chunks, numbers and acknowledgements stay.

    Raises:
        OutboxError: no such layout, or it has no place for something that is still needed.
    """
    now = version_of(db)
    if not 1 <= to <= now <= VERSION:
        raise OutboxError(
            f"the outbox has layout {now}; there is no way to layout {to}",
            hint=f"layouts 1 to {min(now, VERSION)} can be reached",
        )
    undone = STEPS[to:now][::-1]
    for step in undone:
        for what, query in step.homeless:
            (count,) = db.execute(query, {"now_ns": now_ns}).fetchone()
            if count:
                raise OutboxError(
                    f"layout {to} has no place for {count} {what}",
                    hint="run this version until they are gone, then try again",
                )
    down = "".join(step.down for step in undone)
    db.executescript(f"BEGIN IMMEDIATE; {down} PRAGMA user_version = {to}; COMMIT;")
