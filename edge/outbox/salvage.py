"""What can still be read of a damaged outbox file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.outbox import held, streams
from edge.outbox.chunks import Chunk
from edge.outbox.database import FILE
from edge.outbox.held import HeldPart
from tocsin.contract import topics
from tocsin.contract.codec import Header, decode_body, decode_header
from tocsin.contract.gaps import Gap
from tocsin.contract.messages import Alarm, Batch, Event
from tocsin.contract.ranges import RangeSet
from tocsin.errors import WireError

_SMALL_STEPS = 256


def rename_aside(directory: Path, now_ns: int) -> Path:
    """Move the file and its log away together."""
    target = directory / f"outbox-damaged-{now_ns}.db"
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            (directory / (FILE + suffix)).rename(target.with_name(target.name + suffix))
    (directory / (FILE + "-shm")).unlink(missing_ok=True)
    return target


def rescue(path: Path) -> Iterator[Chunk]:
    """Every chunk of `path` whose checksum and body are intact; committed ones are left out where that is known."""
    with contextlib.suppress(sqlite3.DatabaseError):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.execute("PRAGMA writable_schema = ON")  # else a truncated file is refused as a whole
            yield from _intact(db)
        finally:
            db.close()


def rescue_held(path: Path) -> list[HeldPart]:
    """Rows that were not stamped yet, as far as they can be read."""
    parts: list[HeldPart] = []
    with contextlib.suppress(sqlite3.DatabaseError):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.execute("PRAGMA writable_schema = ON")
            parts += held.read(db)
        finally:
            db.close()
    return parts


def lost(path: Path, adopted: Mapping[str, RangeSet]) -> list[Gap]:
    """Numbers that were given out, not committed by the cloud and not `adopted`; none where the file does not tell."""
    gaps: list[Gap] = []
    with contextlib.suppress(sqlite3.DatabaseError):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.execute("PRAGMA writable_schema = ON")
            known = streams.load(db)
        finally:
            db.close()
        for stream in known:
            have = RangeSet((*stream.settled, *adopted.get(stream.ulid, ())))
            missing = have.missing(0, stream.next_seq)
            gaps += [Gap(stream.cls, stream.ulid, lo, hi) for lo, hi in missing]
    return gaps


def _intact(db: sqlite3.Connection) -> Iterator[Chunk]:
    settled: list[tuple[int, int, int]] = []
    with contextlib.suppress(sqlite3.DatabaseError):
        settled = db.execute("SELECT stream, lo, hi FROM settled").fetchall()
    for row_id, stream, cls, payload in _scan(db):
        try:
            header = decode_header(payload)
            _check_body(header, payload, cls)
        except (WireError, TypeError):
            continue
        lo, hi = header.first_seq, header.first_seq + header.rows
        if not any(s == stream and a <= lo and hi <= b for s, a, b in settled):
            yield Chunk(row_id, cls, header.stream, lo, header.rows, payload)


def _check_body(header: Header, payload: bytes, cls: str) -> None:
    if cls == topics.ALARM:
        decode_body(header, payload, Alarm)
    elif cls == topics.EVENT:
        decode_body(header, payload, Event)
    else:
        decode_body(header, payload, Batch)


def _scan(db: sqlite3.Connection) -> Iterator[tuple[int, int, str, bytes]]:
    """Rows by ascending id, stepping over what cannot be read; in growing steps when that goes on."""
    at = failures = 0
    while at < 1 << 48:
        try:
            row = db.execute(
                "SELECT id, stream, cls, payload FROM chunk WHERE id > ? ORDER BY id LIMIT 1", (at,)
            ).fetchone()
            if row is not None and row[0] <= at:
                raise sqlite3.DatabaseError("the tree leads in circles")
        except sqlite3.OperationalError:  # no such table: nothing to read at all
            return
        except sqlite3.DatabaseError:
            failures += 1
            at += 1 << max(0, failures - _SMALL_STEPS)
            continue
        if row is None:
            return
        at, failures = row[0], 0
        yield row
