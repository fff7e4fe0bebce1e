"""Who leaves when the outbox is full: committed chunks first, then the oldest telemetry, then the oldest events,
then rows whose time is not known yet. Never an alarm, nor an event that tells of a gap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from heapq import merge

from edge.outbox.held import Held
from edge.outbox.markers import gap_of
from edge.outbox.streams import Stream, first_kept
from tocsin.contract import topics
from tocsin.contract.gaps import THINNED, Gap, join
from tocsin.errors import OutboxFullError

_STEP = 128
_VACUUM_PAGES = 512
_MARKER = f'"kind":"{THINNED}"'.encode()


class Room:
    """Bytes used and allowed. A tenth of the cap (at most 64 MiB) is kept free of telemetry, for alarms and events."""

    def __init__(
        self, db: sqlite3.Connection, held: Held, max_bytes: int, keep_committed_bytes: int
    ) -> None:
        self._db, self._held = db, held
        self.max_bytes, self._keep = max_bytes, keep_committed_bytes
        self.reserve = min(max_bytes // 10, 64 << 20)
        (self._page,) = db.execute("PRAGMA page_size").fetchone()
        self.settled_bytes = self.used = 0
        self.recount()

    def recount(self) -> int:
        """Bytes of the file in use."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        self.used = (pages - free) * self._page
        return self.used

    def note_settled(self, stream: Stream, lo: int, hi: int) -> None:
        """Count the bytes of [lo, hi) as committed."""
        self.settled_bytes += self._db.execute(
            "SELECT coalesce(sum(bytes), 0) FROM chunk WHERE stream = ? AND first_seq >= ? AND first_seq < ?",
            (stream.id, lo, hi),
        ).fetchone()[0]

    def evict_settled(self, streams: Mapping[str, Stream]) -> None:
        """Delete the oldest committed chunks beyond the bytes kept of them, and give the pages back."""
        excess = self.settled_bytes - self._keep
        if excess > 0:
            self._delete_settled({s.id: s for s in streams.values()}, excess)
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        if free > 2 * _VACUUM_PAGES:
            self._db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        self.recount()

    def make(self, streams: Mapping[str, Stream], *, urgent: bool) -> list[Gap]:
        """Free room when the telemetry limit (for an alarm: the cap itself) is passed; what was given up for it.

        Raises:
            OutboxFullError: only alarms are left and the cap is reached.
        """
        limit = self.max_bytes - (0 if urgent else self.reserve)
        by_id = {s.id: s for s in streams.values()}
        dropped: list[Gap] = []
        while self.recount() > limit:
            want = self.used - limit + self.max_bytes // 50
            freed = self._delete_settled(by_id, want)
            for cls in (topics.TELEMETRY, topics.EVENT):
                if freed < want:
                    freed += self._drop_oldest(by_id, cls, want - freed, dropped)
            if not freed:
                rows = self._held.drop_oldest()
                if not rows:
                    break
                dropped.append(Gap(topics.TELEMETRY, "", 0, rows))
        if self.used > self.max_bytes:
            raise OutboxFullError(
                f"{self.used} bytes of alarms wait for the cloud, {self.max_bytes} are allowed",
                hint="restore the uplink or raise outbox.max_bytes",
            )
        return dropped

    def _delete_settled(self, by_id: Mapping[int, Stream], want: int) -> int:
        """Committed chunks go, the oldest first, wherever they lie among those that wait."""
        freed = 0
        gone: list[tuple[int, int]] = []
        for row_id, stream_id, size in merge(*(self._settled(s) for s in by_id.values())):
            if freed >= want:
                break
            gone.append((row_id, stream_id))
            freed += size
            if len(gone) >= _STEP:
                self._delete(by_id, gone)
                gone = []
        else:
            self.settled_bytes = freed  # there are no more
        self.settled_bytes -= freed
        self._delete(by_id, gone)
        return freed

    def _settled(self, stream: Stream) -> Iterator[tuple[int, int, int]]:
        """(id, stream, bytes) of its committed chunks, oldest first; the index alone tells them."""
        for start, hi in list(stream.settled):
            lo = max(start, stream.first_kept)
            while lo < hi:
                found = self._db.execute(
                    "SELECT id, first_seq, rows, bytes FROM chunk"
                    " WHERE stream = ? AND first_seq >= ? AND first_seq < ? ORDER BY first_seq LIMIT ?",
                    (stream.id, lo, hi, _STEP),
                ).fetchall()
                for row_id, first, rows, size in found:
                    if first + rows <= hi:
                        yield row_id, stream.id, size
                lo = found[-1][1] + 1 if len(found) == _STEP else hi

    def _drop_oldest(
        self, by_id: Mapping[int, Stream], cls: str, want: int, dropped: list[Gap]
    ) -> int:
        freed = 0
        found = self._db.execute(
            "SELECT id, stream, first_seq, rows, bytes, payload FROM chunk WHERE cls = ? ORDER BY id",
            (cls,),
        )
        gone = []
        for row_id, stream_id, first, rows, size, payload in found:
            if freed >= want:
                break
            if cls == topics.EVENT and _MARKER in payload:
                continue
            stream = _known(by_id, stream_id)
            gone.append((row_id, stream_id))
            freed += size
            for lo, hi in stream.settled.missing(first, first + rows):
                join(dropped, gap_of(cls, stream.ulid, lo, hi, payload))
        found.close()
        self._delete(by_id, gone)
        return freed

    def _delete(self, by_id: Mapping[int, Stream], gone: list[tuple[int, int]]) -> None:
        self._db.executemany("DELETE FROM chunk WHERE id = ?", [(row_id,) for row_id, _ in gone])
        for stream in {by_id[stream_id] for _, stream_id in gone}:
            stream.first_kept = first_kept(self._db, stream.id, stream.next_seq)


def _known(by_id: Mapping[int, Stream], stream_id: int) -> Stream:
    found = by_id.get(stream_id)
    if found is None:
        raise sqlite3.DatabaseError(f"chunks of no stream: {stream_id}")
    return found
