"""What ingesters have told: what is settled, and what one of them has lost since."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.acks import Acks, Told
from tocsin.contract.messages import VERSION, CommitAck, StreamAck
from tocsin.contract.ranges import RangeSet

S = "stream"


def tell(acks: Acks, upto: int, *ranges: tuple[int, int], ingester: str = "cloud-0") -> Told:
    return acks.take(CommitAck(VERSION, ingester, {S: StreamAck(upto, list(ranges))}), {S: 10_000})


def test_an_ingester_that_was_restored_lost_what_it_no_longer_names() -> None:
    acks = Acks({}, [])
    assert tell(acks, 100).news == {S: [(0, 100)]}
    lost = {S: [(60, 100)]}
    assert tell(acks, 60).lost == lost
    assert tell(acks, 60).lost == lost, "told until it is kept"
    acks.taken_back("cloud-0", lost)
    assert tell(acks, 60).lost == {}


def test_what_an_ingester_found_again_before_its_loss_was_kept_is_not_lost() -> None:
    acks = Acks({}, [])
    tell(acks, 100)
    assert tell(acks, 60).lost == {S: [(60, 100)]}
    assert tell(acks, 80).lost == {S: [(80, 100)]}
    assert tell(acks, 100).lost == {}


def test_what_it_was_sent_since_does_not_hide_what_it_lost() -> None:
    acks = Acks({S: RangeSet([(0, 1000)])}, ["cloud-0"])
    told = tell(acks, 0, (1000, 1100))
    assert told.lost == {S: [(0, 1000)]}
    assert told.news == {S: [(1000, 1100)]}
    acks.taken_back("cloud-0", told.lost)
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


def test_what_a_cloud_says_it_lacks_is_lost_whoever_was_heard_before_a_restart() -> None:
    acks = Acks({S: RangeSet([(0, 100), (200, 300)])}, ["cloud-0", "ingest-1"])
    assert tell(acks, 60).lost == {}, "it may never have had more"
    lost = {S: [(60, 100)]}
    for _ in range(2):
        told = lacking(acks, 60, (60, 150))
        assert (told.lost, told.asked) == (lost, lost), "what was never settled is no loss"
    assert tell(acks, 60).lost == lost, "the disk may have refused it"
    acks.taken_back("cloud-0", lost)
    acks.replace(S, RangeSet([(0, 60), (200, 300)]))
    assert lacking(acks, 60, (60, 150)).lost == {}


def test_what_a_cloud_lacks_is_lost_though_an_ingester_that_is_gone_once_had_it() -> None:
    acks = Acks({}, [])
    tell(acks, 100, ingester="ingest-1")
    tell(acks, 100)
    assert lacking(acks, 60, (60, 100)).lost == {S: [(60, 100)]}


def lacking(acks: Acks, upto: int, *lacks: tuple[int, int]) -> Told:
    have = StreamAck(upto, lacks=list(lacks))
    return acks.take(CommitAck(VERSION, "cloud-0", {S: have}), {S: 10_000})


_ACK = st.tuples(
    st.sampled_from(["cloud-0", "cloud-1"]),
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=3),
    st.booleans(),
)


@given(st.lists(_ACK, max_size=12))
def test_in_the_end_settled_is_what_ingesters_hold_whatever_the_disk_refused_meanwhile(
    steps: list[tuple[str, int, list[tuple[int, int]], bool]],
) -> None:
    acks, holds, kept = Acks({}, []), dict[str, list[tuple[int, int]]](), RangeSet()
    unkept: list[tuple[int, int]] = []

    def take(ingester: str, *, refuses: bool) -> None:
        (_, upto), *ranges = holds[ingester]
        told = tell(acks, upto, *ranges, ingester=ingester)
        unkept.extend(told.news.get(S, []))
        if refuses:
            return
        while unkept:
            kept.add(*unkept.pop())
        for lo, hi in told.lost.get(S, []):
            kept.remove(lo, hi)
        acks.taken_back(ingester, told.lost)
        acks.replace(S, kept)

    for ingester, upto, ranges, refuses in steps:
        holds[ingester] = [(0, upto), *((lo, lo + n) for lo, n in ranges)]
        take(ingester, refuses=refuses)
    for ingester in (*holds, *holds):
        take(ingester, refuses=False)
    assert kept == RangeSet(span for spans in holds.values() for span in spans)


def test_beyond_its_lowest_ranges_an_ack_settles_what_else_it_names() -> None:
    acks = Acks({}, [])
    assert cut(acks, also=[(3000, 3100), (9000, 9010)], since=9000).news[S][-2:] == [
        (3000, 3100),
        (9000, 9010),
    ]


def test_an_ack_that_says_from_where_on_it_is_whole_shows_what_was_lost_there() -> None:
    acks = Acks({}, [])
    cut(acks, also=[(3000, 3100), (9000, 9100)], since=9000)
    lost = {S: [(9050, 9100)]}
    assert cut(acks, also=[(8990, 9050)], since=8990).lost == lost
    acks.taken_back("cloud-0", lost)
    assert cut(acks, also=[(8990, 9050)], since=2000).lost == {S: [(3000, 3100)]}
    assert cut(acks, also=[(8990, 9050)], since=8990).lost == {}, "it does not tell"
    assert cut(acks, also=[(8990, 9050)], since=3050).lost == {S: [(3050, 3100)]}, "not forgotten"


def test_an_ack_of_an_older_cloud_tells_nothing_beyond_its_ranges() -> None:
    acks = Acks({}, [])
    cut(acks, also=[(3000, 3100), (9000, 9100)], since=9000)
    assert cut(acks).lost == {}


def cut(acks: Acks, also: Sequence[tuple[int, int]] = (), since: int = 0) -> Told:
    """An ack with as many ranges as fit, and more."""
    ranges = [(i * 2, i * 2 + 1) for i in range(1, 501)]
    have = StreamAck(0, ranges, also=list(also), since=since)
    return acks.take(CommitAck(VERSION, "cloud-0", {S: have}), {S: 10_000})
