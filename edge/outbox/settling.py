"""Marking numbers of a stream as committed by the cloud, and as no longer committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from edge.outbox import streams
from edge.outbox.room import Room
from edge.outbox.streams import Stream
from tocsin.contract import topics
from tocsin.contract.gaps import Gap, as_data
from tocsin.contract.messages import MAX_RANGES
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
    if not kept:
        return 0
    stays = RangeSet(part for have in stream.settled for part in kept.missing(*have))
    count = stream.settled.count - stays.count
    stream.settled = stays
    streams.save_settled(db, stream)
    return count


def gone(
    streams: Mapping[str, Stream], asked: Mapping[str, Sequence[tuple[int, int]]]
) -> list[Gap]:
    """What of `asked` is not kept any more. Nothing while events wait: one of them may tell the cloud why already."""
    if any(stream.pending for stream in streams.values() if stream.cls == topics.EVENT):
        return []
    gaps = [
        Gap(streams[name].cls, name, *part)
        for name, ranges in asked.items()
        if name in streams and streams[name].live
        for span in ranges
        for part in streams[name].settled.within(*span)
    ]
    return gaps[:MAX_RANGES]


def restored(ingester: str, count: int, gaps: list[Gap]) -> tuple[str, dict[str, object]]:
    """Text and data of the event: so many numbers are sent again, and `gaps` never."""
    text = f"{ingester} has lost what it had committed; {count} kept numbers are sent again"
    data: dict[str, object] = {"ingester": ingester, "n": count}
    if gaps:
        data |= as_data(gaps)
        text += f", {data['rows']} are no longer kept"
    return text, data
