"""Rows taken before the gateway knew the time: kept on the monotonic clock until they can be stamped."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Generator, Sequence
from contextlib import closing

import msgspec

from edge.outbox.chunks import split
from tocsin.contract.columns import Row

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[Row])


class HeldPart(msgspec.Struct, frozen=True):
    """Rows that were committed together; their times are nanoseconds of the monotonic clock of one `power_on`."""

    id: int
    power_on: str
    rows: list[Row]


class Held:
    """The table of held rows. `count` follows it; the store calls `recount` after a rollback."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.count = 0
        self.recount()

    def recount(self) -> None:
        """Rows held now."""
        (self.count,) = self._db.execute("SELECT coalesce(sum(rows), 0) FROM held").fetchone()

    def add(self, rows: Sequence[Row], power_on: str) -> None:
        """Keep rows whose times are monotonic."""
        for part in split(rows):
            self._db.execute(
                "INSERT INTO held (power_on, rows, mono_max, payload) VALUES (?, ?, ?, ?)",
                (
                    power_on,
                    len(part),
                    max(row.time_ns for row in part),
                    zlib.compress(_encode(part), 1),
                ),
            )
            self.count += len(part)

    def ends(self) -> list[tuple[str, int]]:
        """(power-on, its last monotonic time) of what is held, oldest first."""
        return self._db.execute(
            "SELECT power_on, max(mono_max) FROM held GROUP BY power_on ORDER BY min(id)"
        ).fetchall()

    def first(self) -> HeldPart | None:
        """The oldest rows."""
        with closing(read(self._db)) as parts:
            found = next(parts, None)
        if found is None:  # what is left cannot be read
            self._db.execute("DELETE FROM held")
            self.count = 0
        return found

    def drop(self, part_id: int) -> None:
        """They have been stamped."""
        self._db.execute("DELETE FROM held WHERE id = ?", (part_id,))
        self.recount()

    def drop_oldest(self) -> int:
        """Give up the oldest rows for want of room; how many."""
        row = self._db.execute("SELECT id, rows FROM held ORDER BY id LIMIT 1").fetchone()
        if row is None:
            return 0
        self.drop(row[0])
        return int(row[1])


def read(db: sqlite3.Connection) -> Generator[HeldPart, None, None]:
    """What is held, oldest first; parts that cannot be read are left out."""
    for part_id, power_on, payload in db.execute(
        "SELECT id, power_on, payload FROM held ORDER BY id"
    ):
        try:
            rows = _decoder.decode(zlib.decompress(payload))
        except (zlib.error, msgspec.DecodeError):
            continue
        yield HeldPart(part_id, power_on, rows)
