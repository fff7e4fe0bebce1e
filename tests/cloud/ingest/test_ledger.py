"""What a ledger tells a gateway, as that gateway understands it, however many holes a stream has."""

from __future__ import annotations

import random

from cloud.ingest.ledger import LAST_RANGES, Ledger, numbers_of
from cloud.stores import LedgerEntry
from edge.outbox.acks import Acks, Told
from tocsin.contract.messages import MAX_RANGES, CommitAck, StreamAck
from tocsin.contract.ranges import RangeSet

GATEWAY, STREAM = "gw-1", "stream"
END = 100_000


def entry(lo: int, hi: int) -> LedgerEntry:
    return LedgerEntry(GATEWAY, STREAM, lo, hi)


def with_holes(n: int) -> Ledger:
    """`n` ranges of two numbers, a hole of one before each."""
    ranges = RangeSet((i * 3 + 1, i * 3 + 3) for i in range(n))
    return Ledger({(GATEWAY, STREAM): (ranges, RangeSet())})


def stored(ledger: Ledger, *entries: LedgerEntry) -> CommitAck:
    ledger.commit(entries)
    return told(ledger, *entries)


def told(ledger: Ledger, *again: LedgerEntry) -> CommitAck:
    return ledger.commit_ack("cloud-0", GATEWAY, [STREAM], numbers_of(again))


def hear(acks: Acks, ack: CommitAck) -> Told:
    return acks.take(ack, {STREAM: END})


def test_what_was_just_stored_is_acknowledged_beyond_any_number_of_holes() -> None:
    ledger, acks = with_holes(5000), Acks({}, [])
    assert hear(acks, stored(ledger, entry(50_000, 50_010))).news[STREAM][-1] == (50_000, 50_010)


def test_what_is_stored_between_holes_is_acknowledged_when_it_comes_and_again() -> None:
    ledger = with_holes(5000)
    filled = entry(7500, 7501)  # the hole between two ranges
    for ack in (stored(ledger, filled), told(ledger, entry(7499, 7500), filled)):
        assert hear(Acks({}, []), ack).news[STREAM][MAX_RANGES] == (7498, 7503)


def test_an_ack_stays_small_and_says_from_where_on_it_is_whole() -> None:
    ack = told(with_holes(5000), entry(0, END)).streams[STREAM]
    assert (len(ack.ranges), len(ack.also)) == (MAX_RANGES, MAX_RANGES + LAST_RANGES)
    assert ack.since == (5000 - LAST_RANGES) * 3 + 1
    assert told(with_holes(MAX_RANGES - 1)).streams[STREAM].since == 0, "it is whole anyway"


def test_a_restored_cloud_is_asked_for_what_it_lacks_beyond_thousands_of_holes() -> None:
    before, acks = with_holes(5000), Acks({}, [])
    hear(acks, stored(before, entry(50_000, 50_100)))
    restored = with_holes(5000)
    lost = {STREAM: [(50_000, 50_100)]}
    assert hear(acks, told(restored)).lost == lost
    acks.taken_back("cloud-0", lost)
    assert hear(acks, stored(restored, entry(50_100, 50_200))).lost == {}


def test_a_ledger_and_a_gateway_agree_whatever_order_numbers_come_in() -> None:
    for seed in range(20):
        dice = random.Random(seed)
        ledger, acks, have = with_holes(0), Acks({}, []), RangeSet()
        places = list(range(3000))
        dice.shuffle(places)
        at = 0
        while at < len(places):
            new = places[at : at + dice.randint(1, 300)]
            at += len(new)
            entries = [entry(3 * i, 3 * i + dice.randint(1, 3)) for i in new]
            for e in entries:
                have.add(e.lo, e.hi)
            said = hear(acks, stored(ledger, *entries))
            assert said.lost == {}, "nothing was lost"
            assert told_of(acks) == have


def told_of(acks: Acks) -> RangeSet:
    return acks._settled[STREAM]


def test_a_gateway_of_an_older_version_is_told_what_it_was_always_told() -> None:
    ack = stored(with_holes(5000), entry(50_000, 50_010)).streams[STREAM]
    as_read = StreamAck(ack.upto, ack.ranges, ack.rejected)
    assert as_read == StreamAck(0, [(i * 3 + 1, i * 3 + 3) for i in range(MAX_RANGES)])
