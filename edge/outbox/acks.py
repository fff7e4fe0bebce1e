"""What ingesters have told of each stream: what is settled, and what one of them has lost since. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from edge.outbox.chunks import Chunk
from tocsin.contract.messages import MAX_RANGES, CommitAck, StreamAck
from tocsin.contract.ranges import RangeSet


class Told(msgspec.Struct, frozen=True):
    """Per stream what an ack settles that was not before, what its ingester no longer has, and what of it it `asked` for."""

    news: dict[str, list[tuple[int, int]]]
    lost: dict[str, list[tuple[int, int]]]
    asked: dict[str, list[tuple[int, int]]]

    @property
    def count(self) -> int:
        """How many numbers are new."""
        return sum(hi - lo for ranges in self.news.values() for lo, hi in ranges)


class Acks:
    """The union of what ingesters have, and what each of them had by its own word.

    `settled` is as an earlier run left it. If one ingester alone was ever heard (`ingesters`), all of it is its own.
    """

    def __init__(self, settled: Mapping[str, RangeSet], ingesters: Iterable[str]) -> None:
        self._settled = {name: RangeSet(ranges) for name, ranges in settled.items()}
        self._had: dict[tuple[str, str], RangeSet] = {}
        self.ingesters = set(ingesters)
        if len(self.ingesters) == 1:
            (only,) = self.ingesters
            for name, ranges in self._settled.items():
                self._had[only, name] = RangeSet(ranges)

    def is_settled(self, chunk: Chunk) -> bool:
        """Whether all of it is settled; so is what belongs to no stream of ours any more."""
        settled = self._settled.get(chunk.stream)
        return settled is None or not settled.missing(chunk.first_seq, chunk.first_seq + chunk.rows)

    def is_overtaken(self, chunk: Chunk) -> bool:
        """Whether something later of its stream is settled."""
        settled = self._settled.get(chunk.stream)
        return settled is not None and settled.end > chunk.first_seq + chunk.rows

    def take(self, ack: CommitAck, next_seq: Mapping[str, int]) -> Told:
        """Take in an ack; `next_seq` per stream bounds what can be true.

        What is lost is told with every ack of this ingester until it is `taken_back`.
        """
        told = Told({}, {}, {})
        for name, have in ack.streams.items():
            settled = self._settled.setdefault(name, RangeSet()) if name in next_seq else None
            if settled is None:
                continue
            lost = self._lost(ack.ingester, name, have)
            if asked := self._asked(ack.ingester, name, have):
                told.asked[name] = asked
                lost = list(RangeSet([*lost, *asked]))
            if lost:
                told.lost[name] = lost
            for lo, hi in ((0, have.upto), *have.ranges, *have.also, *have.rejected):
                for gap in settled.missing(lo, min(hi, next_seq[name])):
                    settled.add(*gap)
                    told.news.setdefault(name, []).append(gap)
        return told

    def replace(self, stream: str, settled: RangeSet) -> None:
        """A stream's settled numbers are these now."""
        self._settled[stream] = RangeSet(settled)

    def taken_back(self, ingester: str, lost: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """It is on the disk that this ingester has lost these."""
        for name, ranges in lost.items():
            for lo, hi in ranges:
                self._had[ingester, name].remove(lo, hi)

    def drop(self, stream: str, lo: int, hi: int) -> None:
        """Given up: nobody has to have them."""
        self._settled.setdefault(stream, RangeSet()).add(lo, hi)

    def _asked(self, ingester: str, stream: str, have: StreamAck) -> list[tuple[int, int]]:
        """What is settled and its whole cloud has not: whatever others said before, it knows what they have now."""
        named = RangeSet([(0, have.upto), *have.ranges, *have.also, *have.rejected])
        asked = [
            gap
            for span in have.lacks
            for part in self._settled[stream].within(*span)
            for gap in named.missing(*part)
        ]
        for gap in asked:
            self._had[ingester, stream].add(*gap)
        return asked

    def _lost(self, ingester: str, stream: str, have: StreamAck) -> list[tuple[int, int]]:
        """What it had and does not name now, and no other has. Where an ack may be cut it tells nothing."""
        named = RangeSet([(0, have.upto), *have.ranges, *have.also, *have.rejected])
        before = self._had.get((ingester, stream), RangeSet())
        if len(have.ranges) >= MAX_RANGES:
            end = max(hi for _, hi in have.ranges)
            for lo, hi in before:
                named.add(max(lo, end), min(hi, have.since) if have.since else hi)
        self._had[ingester, stream] = named
        others = [h for (i, s), h in self._had.items() if s == stream and i != ingester]
        gone = [gap for have_before in before for gap in named.missing(*have_before)]
        for other in others:
            gone = [part for gap in gone for part in other.missing(*gap)]
        for gap in gone:
            named.add(*gap)
        return gone
