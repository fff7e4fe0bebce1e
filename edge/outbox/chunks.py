"""What passes between the outbox, its writer thread and the uplink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tocsin.contract.codec import check_crc, decode_header
from tocsin.contract.columns import Row
from tocsin.errors import WireError

MAX_CHUNK_ROWS = 500
MAX_CHUNK_VALUES = 20_000


class Chunk(msgspec.Struct, frozen=True):
    """One sealed message: its bytes are final. `id` orders the chunks of all streams of a class."""

    id: int
    cls: str
    stream: str
    first_seq: int
    rows: int
    payload: bytes


def is_intact(chunk: Chunk) -> bool:
    """Whether its bytes are still those that were sealed."""
    try:
        header = decode_header(chunk.payload)
        check_crc(header, chunk.payload)
    except WireError:
        return False
    told = header.stream, header.first_seq, header.rows
    return told == (chunk.stream, chunk.first_seq, chunk.rows)


class OutboxStats(msgspec.Struct, frozen=True):
    """Counters and sizes since the outbox was opened, unless said otherwise.

    `written_bytes` is what the writer thread handed to write(2): log, database and checkpoints together.
    """

    pending_rows: int
    pending_alarms: int
    buffered_rows: int
    bytes: int
    cap_bytes: int
    volatile: bool
    commits: int
    rows: int
    readings: int
    payload_bytes: int
    written_bytes: int
    dropped_rows: int
    oversized_rows: int
    coalesced_alarms: int
    commit_failures: int

    @property
    def payload_bytes_per_reading(self) -> float:
        """Size of a stored reading."""
        return self.payload_bytes / self.readings if self.readings else 0.0

    @property
    def written_bytes_per_reading(self) -> float:
        """What a reading costs the flash."""
        return self.written_bytes / self.readings if self.readings else 0.0


def split(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Runs of at most `MAX_CHUNK_ROWS` rows and about `MAX_CHUNK_VALUES` values; a row is never split."""
    start = values = 0
    for i, row in enumerate(rows):
        width = len(row.values)
        if i > start and (i - start >= MAX_CHUNK_ROWS or values + width > MAX_CHUNK_VALUES):
            yield rows[start:i]
            start, values = i, 0
        values += width
    if start < len(rows):
        yield rows[start:]


def readings(rows: Sequence[Row]) -> int:
    """Values that are there."""
    return sum(len(row.values) - row.values.count(None) for row in rows)
