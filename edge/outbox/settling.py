"""Marking numbers of a stream as committed by the cloud, and as no longer committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from edge.outbox import streams
from edge.outbox.room import Room
from edge.outbox.streams import Stream
from tocsin.contract.ranges import RangeSet


def settle(
    db: sqlite3.Connection, room: Room, stream: Stream, ranges: Iterable[tuple[int, int]]
) -> None:
    """The cloud has these."""
    before = stream.settled.count
    for lo, hi in ranges:
        for new_lo, new_hi in stream.settled.missing(lo, min(hi, stream.next_seq)):
            room.note_settled(stream, new_lo, new_hi)
        stream.settled.add(lo, min(hi, stream.next_seq))
    if stream.settled.count != before:
        streams.save_settled(db, stream)


def take_back(db: sqlite3.Connection, room: Room, stream: Stream, lo: int, hi: int) -> int:
    """The cloud has lost [lo, hi): the chunks of it that are still kept wait again; how many numbers."""
    kept = RangeSet()
    for first, rows, size in db.execute(
        "SELECT first_seq, rows, bytes FROM chunk WHERE stream = ? AND first_seq + rows > ? AND first_seq < ?",
        (stream.id, lo, hi),
    ).fetchall():
        if not stream.settled.missing(first, first + rows):
            room.settled_bytes -= size
        kept.add(first, first + rows)
    stays = RangeSet(part for have in stream.settled for part in kept.missing(*have))
    count = stream.settled.count - stays.count
    stream.settled = stays
    streams.save_settled(db, stream)
    return count
