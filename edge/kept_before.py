"""What the last run kept at its end: a push source sends again what it was not answered before the agent was killed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.contract.codec import decode_body, decode_header
from tocsin.contract.columns import Row
from tocsin.contract.messages import NS_PER_UNIT, Batch, Group
from tocsin.errors import WireError

CHUNKS = 64
ROWS = 10_000


class KeptBefore:
    """The newest rows of the outbox as it was opened, at most `ROWS`, by device, the device's own time, and values."""

    def __init__(self, payloads: Iterable[bytes] = ()) -> None:
        """`payloads`: sealed batches of telemetry, newest first."""
        self._known: set[int] = set()
        for payload in payloads:
            try:
                batch = decode_body(decode_header(payload), payload, Batch)
            except WireError:  # spoiled on the disk; the outbox tells of it when it would be sent
                continue
            for group in batch.groups:
                self._known |= _keys(group, batch.t0, NS_PER_UNIT[batch.tu])
            if len(self._known) >= ROWS:
                break

    def holds(self, row: Row) -> bool:
        """Whether this row, with its own time, was kept by the last run. One without is never known."""
        if not self._known or row.source_ns is None:
            return False
        layout = row.layout
        return _key(layout.device, row.source_ns, layout.quantities, row.values) in self._known


def _keys(group: Group, t0: int, per_unit: int) -> set[int]:
    if group.source_times is None:
        return set()
    return {
        _key(group.device, t0 + source * per_unit, group.quantities, values)
        for source, values in zip(group.source_times, zip(*group.columns, strict=True), strict=True)
        if source is not None
    }


def _key(*told: object) -> int:
    """Of the text, since Python hashes -1 and -2 alike."""
    return hash(msgspec.json.encode(told))
