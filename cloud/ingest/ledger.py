"""Which sequence numbers are stored, which are on their way, and what a gateway is told of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from cloud.stores import LedgerEntry
from tocsin.contract.messages import MAX_RANGES, VERSION, CommitAck, StreamAck
from tocsin.contract.ranges import RangeSet

LAST_RANGES = (
    100  # told of a stream with more than MAX_RANGES: enough to see what a restored cloud lacks
)

Key = tuple[str, str]  # gateway, stream


class Ledger:
    """`taken` = stored or in the commit that is being gathered; `stored` = as of the last commit.

    Used from the ingest thread; `of_gateway` from any.
    """

    def __init__(self, stored: Mapping[Key, tuple[RangeSet, RangeSet]]) -> None:
        self._lock = threading.Lock()
        self._stored = {key: RangeSet(settled) for key, (settled, _) in stored.items()}
        self._rejected = {key: RangeSet(rejected) for key, (_, rejected) in stored.items()}
        self._taken = {key: RangeSet(settled) for key, settled in self._stored.items()}

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        """What of [lo, hi) is neither stored nor on its way."""
        taken = self._taken.get((gateway, stream))
        return [(lo, hi)] if taken is None else taken.missing(lo, hi)

    def take_new(self, gateway: str, stream: str, lo: int, hi: int) -> bool:
        """[lo, hi) is on its way, if all of it is new; whether it was."""
        taken = self._taken.get((gateway, stream))
        if taken is None:
            taken = self._taken[gateway, stream] = RangeSet()
        return taken.take(lo, hi)

    def refused(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        """What of [lo, hi) is settled as rejected."""
        rejected = self._rejected.get((gateway, stream), RangeSet())
        return RangeSet(rejected.missing(lo, hi)).missing(lo, hi)

    def take(self, entries: Iterable[LedgerEntry]) -> None:
        """These are on their way."""
        for entry in entries:
            self._taken.setdefault((entry.gateway, entry.stream), RangeSet()).add(
                entry.lo, entry.hi
            )

    def commit(self, entries: Iterable[LedgerEntry]) -> None:
        """These are stored."""
        with self._lock:
            for entry in entries:
                key = entry.gateway, entry.stream
                self._stored.setdefault(key, RangeSet()).add(entry.lo, entry.hi)
                rejected = self._rejected.setdefault(key, RangeSet())
                if entry.rejected:
                    rejected.add(entry.lo, entry.hi)
                else:  # a dead letter that could be stored after all
                    rejected.remove(entry.lo, entry.hi)

    def of_gateway(self, gateway: str) -> dict[str, tuple[RangeSet, RangeSet]]:
        """Copies, as of the last commit: stream -> (settled, of them rejected)."""
        with self._lock:
            return {
                stream: (RangeSet(settled), RangeSet(self._rejected.get((owner, stream), ())))
                for (owner, stream), settled in self._stored.items()
                if owner == gateway
            }

    def hear(self, settled: Mapping[Key, tuple[RangeSet, RangeSet]]) -> None:
        """What others settled in the same store."""
        for (gateway, stream), (ranges, rejected) in settled.items():
            entries = [LedgerEntry(gateway, stream, lo, hi) for lo, hi in ranges]
            entries += [LedgerEntry(gateway, stream, lo, hi, rejected=True) for lo, hi in rejected]
            self.take(entries)
            self.commit(entries)

    def lacking(
        self, gateway: str, committed: Mapping[str, int]
    ) -> dict[str, list[tuple[int, int]]]:
        """What is not stored below the number up to which a gateway says everything was committed, by stream."""
        none = RangeSet()
        found = {
            stream: self._stored.get((gateway, stream), none).missing(0, upto)
            for stream, upto in committed.items()
        }
        return {stream: ranges for stream, ranges in found.items() if ranges}

    def streams(self) -> list[Key]:
        """Every stream that was ever stored."""
        return list(self._stored)

    def ack(self, gateway: str, stream: str, of: RangeSet | None = None) -> StreamAck:
        """What to tell the gateway of one stream; `of`, as far as it is stored, is told in any case.

        A stream may have any number of holes that nothing will fill. Were only its lowest ranges told, nothing new
        would ever be.
        """
        key = gateway, stream
        stored = self._stored.get(key)
        if stored is None:
            return StreamAck(upto=0)
        upto = stored.contiguous_from(0)
        ranges = [(lo, hi) for lo, hi in stored if lo > upto]
        rejected = list(self._rejected.get(key, ()))[-MAX_RANGES:]
        if len(ranges) < MAX_RANGES:
            return StreamAck(upto, ranges, rejected)
        named, beyond = ranges[:MAX_RANGES], ranges[MAX_RANGES:]
        last = beyond[-LAST_RANGES:]
        new = [r for r in beyond[:-LAST_RANGES] if of and of.missing(*r) != [r]][-MAX_RANGES:]
        return StreamAck(upto, named, rejected, new + last, (last or named[-1:])[0][0])

    def commit_ack(
        self,
        ingester: str,
        gateway: str,
        streams: Iterable[str],
        of: Mapping[Key, RangeSet],
        lacks: Mapping[str, list[tuple[int, int]]] | None = None,
    ) -> CommitAck:
        """The message for one gateway; `of`: the numbers for whose sake it is told."""
        told = {s: self.ack(gateway, s, of.get((gateway, s))) for s in streams}
        for stream, ranges in (lacks or {}).items():
            if stream in told:
                told[stream] = replace(told[stream], lacks=ranges)
        return CommitAck(VERSION, ingester, told)


def numbers_of(entries: Iterable[LedgerEntry]) -> dict[Key, RangeSet]:
    """The numbers of each stream."""
    numbers: dict[Key, RangeSet] = {}
    for entry in entries:
        numbers.setdefault((entry.gateway, entry.stream), RangeSet()).add(entry.lo, entry.hi)
    return numbers


def merged(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """The same numbers in as few entries as possible."""
    sets: dict[tuple[str, str, bool], RangeSet] = {}
    for entry in entries:
        key = entry.gateway, entry.stream, entry.rejected
        sets.setdefault(key, RangeSet()).add(entry.lo, entry.hi)
    return [
        LedgerEntry(gateway, stream, lo, hi, rejected)
        for (gateway, stream, rejected), ranges in sets.items()
        for lo, hi in ranges
    ]
