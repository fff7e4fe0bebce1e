"""What lies in an outbox file, for those who send it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from edge.outbox.chunks import Chunk, is_intact
from edge.outbox.streams import Stream


def pending(
    db: sqlite3.Connection,
    streams: Collection[Stream],
    cls: str,
    after: int,
    upto: int | None,
    limit: int,
) -> tuple[list[Chunk], list[Chunk]]:
    """Unsettled chunks of a class with `after` < id <= `upto`, oldest first; and those among them the disk has changed."""
    out: list[Chunk] = []
    spoiled: list[Chunk] = []
    by_id = {s.id: s for s in streams}
    while len(out) < limit:
        found = db.execute(
            "SELECT id, stream, first_seq, rows, payload FROM chunk"
            " WHERE cls = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
            (cls, after, (1 << 62) if upto is None else upto, limit),
        ).fetchall()
        for row_id, stream_id, first, rows, payload in found:
            after = row_id
            stream = by_id.get(stream_id)
            if stream is None:
                raise sqlite3.DatabaseError(f"chunk {row_id} of no stream")
            if stream.settled.missing(first, first + rows):
                chunk = Chunk(row_id, cls, stream.ulid, first, rows, payload)
                (out if is_intact(chunk) else spoiled).append(chunk)
        if len(found) < limit:
            break
    return out, spoiled


def first_pending(db: sqlite3.Connection, streams: Collection[Stream], cls: str) -> int:
    """An id below that of the first unsettled chunk of a class, near to it."""
    ids = [
        row[0] - 1
        for s in streams
        if s.cls == cls
        for row in db.execute(
            "SELECT id FROM chunk WHERE stream = ? AND first_seq >= ? ORDER BY first_seq LIMIT 1",
            (s.id, s.settled.contiguous_from(0)),
        )
    ]
    return min(ids, default=last_id(db))


def newest(db: sqlite3.Connection, cls: str, limit: int) -> list[bytes]:
    """The last chunks of a class, settled or not, newest first."""
    found = db.execute(
        "SELECT payload FROM chunk WHERE cls = ? ORDER BY id DESC LIMIT ?", (cls, limit)
    )
    return [payload for (payload,) in found]


def last_id(db: sqlite3.Connection) -> int:
    """The id given last."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunk'").fetchone()
    return int(row[0]) if row else 0
