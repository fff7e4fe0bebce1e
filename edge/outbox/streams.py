"""The numbered streams of an outbox and how they lie in its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tocsin.contract.messages import StreamState
from tocsin.contract.ranges import RangeSet


class Stream:
    """One numbered sequence of one class. `live` takes new numbers; older ones only wait for their commit."""

    __slots__ = ("cls", "first_kept", "id", "live", "next_seq", "settled", "ulid")

    def __init__(self, row_id: int, cls: str, name: str, next_seq: int, *, live: bool) -> None:
        self.id, self.cls, self.ulid, self.next_seq, self.live = row_id, cls, name, next_seq, live
        self.settled = RangeSet()
        self.first_kept = 0

    @property
    def pending(self) -> int:
        """Numbers not yet settled."""
        return self.next_seq - self.settled.count

    def state(self) -> StreamState:
        """As told to the cloud."""
        return StreamState(
            self.cls,
            self.ulid,
            min(self.first_kept, self.next_seq),
            self.next_seq,
            self.settled.contiguous_from(0),
            self.live,
        )


def load(db: sqlite3.Connection) -> list[Stream]:
    """Every stream, oldest first."""
    found = []
    for row_id, cls, name, next_seq, live in db.execute(
        "SELECT id, cls, ulid, next_seq, live FROM stream ORDER BY id"
    ).fetchall():
        stream = Stream(row_id, cls, name, next_seq, live=bool(live))
        for lo, hi in db.execute(
            "SELECT lo, hi FROM settled WHERE stream = ?", (row_id,)
        ).fetchall():
            stream.settled.add(lo, hi)
        stream.first_kept = first_kept(db, row_id, next_seq)
        found.append(stream)
    return found


def first_kept(db: sqlite3.Connection, row_id: int, next_seq: int) -> int:
    """The first number of the oldest chunk there is of a stream."""
    (first,) = db.execute("SELECT min(first_seq) FROM chunk WHERE stream = ?", (row_id,)).fetchone()
    return next_seq if first is None else int(first)


def create(db: sqlite3.Connection, cls: str, name: str, *, live: bool) -> Stream:
    """A new stream from 0."""
    cursor = db.execute(
        "INSERT INTO stream (cls, ulid, next_seq, live) VALUES (?, ?, 0, ?)", (cls, name, live)
    )
    return Stream(cursor.lastrowid or 0, cls, name, 0, live=live)


def retire(db: sqlite3.Connection, classes: Iterable[str]) -> None:
    """The live streams of these classes take no more numbers: some they gave out may be forgotten."""
    db.executemany("UPDATE stream SET live = 0 WHERE cls = ?", [(cls,) for cls in classes])


def save_settled(db: sqlite3.Connection, stream: Stream) -> None:
    """Write what the cloud has of it."""
    db.execute("DELETE FROM settled WHERE stream = ?", (stream.id,))
    db.executemany(
        "INSERT INTO settled VALUES (?, ?, ?)", [(stream.id, lo, hi) for lo, hi in stream.settled]
    )


def forget(db: sqlite3.Connection, stream: Stream) -> None:
    """Delete it with all it still has."""
    db.execute("DELETE FROM chunk WHERE stream = ?", (stream.id,))
    db.execute("DELETE FROM settled WHERE stream = ?", (stream.id,))
    db.execute("DELETE FROM stream WHERE id = ?", (stream.id,))
