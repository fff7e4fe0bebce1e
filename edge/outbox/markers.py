"""The gap markers of an outbox: which rows were given up, and the event that tells of it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from tocsin.contract import topics
from tocsin.contract.codec import decode_body, decode_header, encode
from tocsin.contract.columns import Row
from tocsin.contract.gaps import MAX_DEVICES, THINNED, Gap, as_data, join
from tocsin.contract.messages import NS_PER_UNIT, Batch, Event
from tocsin.errors import WireError

MAX_GAPS = 32  # in one event: with the names of 200 devices each it stays below a message's limit


def gap_of(cls: str, stream: str, lo: int, hi: int, payload: bytes) -> Gap:
    """What of the chunk `payload` has the numbers [lo, hi)."""
    if cls != topics.TELEMETRY:
        return Gap(cls, stream, lo, hi)
    try:
        batch = decode_body(decode_header(payload), payload, Batch)
    except WireError:
        return Gap(cls, stream, lo, hi)
    unit, at = NS_PER_UNIT[batch.tu], batch.first_seq
    times: list[int] = []
    devices: dict[str, int] = {}
    others = 0
    for group in batch.groups:
        gone = group.times[max(lo - at, 0) : max(hi - at, 0)]
        at += len(group.times)
        if gone:
            times += (min(gone), max(gone))
            if group.device in devices or len(devices) < MAX_DEVICES:
                devices[group.device] = devices.get(group.device, 0) + len(gone)
            else:
                others += len(gone)
    first, last = (batch.t0 + t * unit for t in (min(times), max(times)))
    return Gap(cls, stream, lo, hi, first, last, devices, others)


def shed_gap(rows: Sequence[Row], *, stamped: bool) -> Gap:
    """What of rows that got no number can be told; those not `stamped` have no time yet."""
    counts = Counter(row.layout.device for row in rows)
    times = [row.time_ns for row in rows] if stamped else []
    devices = dict(counts.most_common(MAX_DEVICES))
    return Gap(
        topics.TELEMETRY,
        "",
        0,
        len(rows),
        min(times, default=None),
        max(times, default=None),
        devices,
        len(rows) - sum(devices.values()),
    )


class Marker:
    """The newest event about gaps. While nobody has seen it, later gaps go into it: an outage is one event."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._open: tuple[int, Event, list[Gap]] | None = None

    def seal(self, handed_out: Collection[int]) -> None:
        """Chunks of these ids are final now."""
        if self._open is not None and self._open[0] in handed_out:
            self.forget()

    def forget(self) -> None:
        """Begin a new one at the next gap."""
        self._open = None

    def tell(
        self,
        gaps: Iterable[Gap],
        append: Callable[[str, str, dict[str, object]], tuple[int, Event]],
    ) -> None:
        """Write of these gaps in the event there is, or in one that `append` (kind, text, data) makes."""
        for gap in gaps:
            if self._open is None:
                self._open = (*append(THINNED, _text([gap]), as_data([gap])), [gap])
                continue
            row_id, event, told = self._open
            join(told, gap)
            event = msgspec.structs.replace(
                event, text=_text(told), data={**event.data, **as_data(told)}
            )
            payload = encode(event, "jn")
            self._db.execute(
                "UPDATE chunk SET payload = ?, bytes = ? WHERE id = ?",
                (payload, len(payload), row_id),
            )
            self._open = (row_id, event, told) if len(told) < MAX_GAPS else None


def _text(gaps: list[Gap]) -> str:
    rows = sum(gap.rows for gap in gaps)
    if all(gap.stream for gap in gaps):
        return f"{rows} oldest rows were given up: the outbox is full"
    return f"{rows} rows were given up"
