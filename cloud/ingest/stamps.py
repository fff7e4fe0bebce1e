"""When the numbers of a message were: for those who ask later which numbers a time had."""

from __future__ import annotations

import msgspec

from cloud.ingest.decoded import Decoded


class Stored(msgspec.Struct, frozen=True):
    """Numbers [lo, hi) of one stream, of rows stamped `first_ns`..`last_ns`."""

    gateway: str
    stream: str
    lo: int
    hi: int
    first_ns: int
    last_ns: int


def stamps_of(got: Decoded, received_ns: int) -> list[Stored]:
    """What of a message is to be stored. A clock that was never set counts as the time of arrival."""
    first_ns, last_ns = got.first_ns, got.last_ns
    if first_ns is None:
        single = got.event or got.alarm
        first_ns = last_ns = received_ns
        if single is not None and not _is_unset(got) and 0 < single.t <= received_ns:
            first_ns = last_ns = single.t
    return [
        Stored(entry.gateway, entry.stream, entry.lo, entry.hi, first_ns, last_ns)
        for entry in got.ledger
        if not entry.rejected
    ]


def _is_unset(got: Decoded) -> bool:
    if got.alarm is not None:
        return got.alarm.clock.state == "unset"
    return got.event is not None and got.event.data.get("clock") == "unset"
