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
_PAGE = 4096
_SALVAGING, _DAMAGED = "outbox-salvaging-", "outbox-damaged-"
_LISTINGS = (
    "SELECT id FROM chunk INDEXED BY chunk_by_class WHERE cls > ''",
    "SELECT id FROM chunk INDEXED BY chunk_by_seq WHERE stream >= 0",
)


def rename_aside(directory: Path, now_ns: int) -> Path:
    """Move the file and its log away together; until it is taken over its name says so."""
    target = directory / f"{_SALVAGING}{now_ns}.db"
    _rename(directory / FILE, target)
    (directory / (FILE + "-shm")).unlink(missing_ok=True)
    if not target.exists() or not target.stat().st_size:
        target.write_bytes(
            bytes(_PAGE)
        )  # with nothing in the file SQLite would delete the log unread
    return target


def waiting(directory: Path) -> list[Path]:
    """Files that were set aside and are not taken over yet, also those of earlier starts."""
    return sorted(directory.glob(f"{_SALVAGING}*.db"))


def damaged_name(path: Path) -> Path:
    """Where a file that was set aside stays."""
    return path.with_name(path.name.replace(_SALVAGING, _DAMAGED))


def finish(path: Path) -> None:
    """It is taken over."""
    _rename(path, damaged_name(path))


def _rename(source: Path, target: Path) -> None:
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            source.with_name(source.name + suffix).rename(target.with_name(target.name + suffix))


def rescue(path: Path) -> Iterator[Chunk]:
    """Every chunk of `path` whose checksum and body are intact; committed ones are left out where that is known."""
    with contextlib.suppress(sqlite3.DatabaseError):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA writable_schema = ON")  # else a truncated file is refused as a whole
            yield from _intact(db)
        finally:
            db.close()


def rescue_held(path: Path) -> Iterator[HeldPart]:
    """Rows that were not stamped yet, as far as they can be read, by ascending id."""
    with contextlib.suppress(sqlite3.DatabaseError):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA writable_schema = ON")
            yield from held.read(db)
        finally:
            db.close()


def identity(path: Path) -> str:
    """What no other outbox file is called, wherever it lies; empty where it does not tell."""
    with contextlib.suppress(sqlite3.DatabaseError):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            row = db.execute("SELECT ulid FROM stream ORDER BY id LIMIT 1").fetchone()
            return str(row[0]) if row else ""
        finally:
            db.close()
    return ""


def lost(path: Path, adopted: Mapping[str, RangeSet]) -> list[Gap]:
    """Numbers that were given out, not committed by the cloud and not `adopted`; none where the file does not tell."""
    gaps: list[Gap] = []
    with contextlib.suppress(sqlite3.DatabaseError, TypeError, ValueError):
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
        settled = db.execute(
            "SELECT stream, lo, hi FROM settled WHERE typeof(lo) = 'integer' AND typeof(hi) = 'integer'"
        ).fetchall()
    for row_id, stream, cls, payload in _chunks(db):
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
    elif cls == topics.TELEMETRY:
        decode_body(header, payload, Batch)
    else:
        raise TypeError(f"no class {cls!r}")


def _chunks(db: sqlite3.Connection) -> Iterator[tuple[int, int, str, bytes]]:
    """Every row that can be read, by ascending id; an index finds those that a damaged page above them hides."""
    ids = set(_scan(db))
    for listing in _LISTINGS:
        with contextlib.suppress(sqlite3.DatabaseError):
            for (row_id,) in db.execute(listing):
                ids.add(row_id)
    for row_id in sorted(ids):
        with contextlib.suppress(sqlite3.DatabaseError):
            row = db.execute(
                "SELECT stream, cls, payload FROM chunk WHERE id = ?", (row_id,)
            ).fetchone()
            if row is not None:
                yield (row_id, *row)


def _scan(db: sqlite3.Connection) -> Iterator[int]:
    """Ids in the table, stepping over what cannot be read; in growing steps when that goes on."""
    at = failures = 0
    while at < 1 << 48:
        try:
            row = db.execute(
                "SELECT id FROM chunk NOT INDEXED WHERE id > ? ORDER BY id LIMIT 1", (at,)
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
        yield at
