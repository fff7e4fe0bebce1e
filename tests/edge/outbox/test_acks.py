"""What ingesters have told: what is settled, and what one of them has lost since."""

from __future__ import annotations

from edge.outbox.acks import Acks, Told
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.contract.ranges import RangeSet

S = "stream"


def tell(acks: Acks, upto: int, *ranges: tuple[int, int], ingester: str = "cloud-0") -> Told:
    return acks.take(CommitAck(VERSION, ingester, {S: StreamAck(upto, list(ranges))}), {S: 10_000})


def test_an_ingester_that_was_restored_lost_what_it_no_longer_names() -> None:
    acks = Acks({}, [])
    assert tell(acks, 100).news == {S: [(0, 100)]}
    assert tell(acks, 60).lost == {S: [(60, 100)]}
    assert tell(acks, 60).lost == {}, "told once"


def test_what_it_was_sent_since_does_not_hide_what_it_lost() -> None:
    acks = Acks({S: RangeSet([(0, 1000)])}, ["cloud-0"])
    told = tell(acks, 0, (1000, 1100))
    assert told.lost == {S: [(0, 1000)]}
    assert told.news == {S: [(1000, 1100)]}
    assert tell(acks, 400, (1000, 1200)).lost == {}


def test_what_another_ingester_has_is_not_lost() -> None:
    acks = Acks({}, [])
    tell(acks, 50, ingester="cloud-1")
    tell(acks, 100)
    assert tell(acks, 0).lost == {S: [(50, 100)]}


def test_an_ack_that_may_be_cut_tells_nothing_of_what_lies_beyond_it() -> None:
    acks = Acks({}, [])
    tell(acks, 2000)
    holes = [(i * 2, i * 2 + 1) for i in range(1, 501)]
    assert tell(acks, 1, *holes).lost == {S: [(i, i + 1) for i in range(1, 1001, 2)][:500]}
