"""The lock's log: what is left out, changed or forked shows, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import GrantRefusedError
from tocsin.grants.lock_log import (
    EVENT_BYTES,
    LockEvent,
    LockEventKind,
    decode_event,
    encode_event,
    first_head,
    next_head,
    verify_chain,
)

LOCK_ID = b"lock-008"
START = first_head(LOCK_ID)
EVENTS = st.builds(
    LockEvent,
    seq=st.integers(0, 2**32 - 1),
    time_s=st.integers(0, 2**32 - 1),
    time_quality=st.integers(0, 2),
    kind=st.sampled_from(LockEventKind).map(int) | st.just(200),
    cti=st.binary(min_size=8, max_size=8),
    data=st.binary(max_size=16),
)


def chain(length: int) -> list[bytes]:
    return [
        encode_event(LockEvent(seq, 1_800_000_000 + seq, 2, LockEventKind.OPENED))
        for seq in range(1, length + 1)
    ]


def head_of(events: list[bytes]) -> bytes:
    head = START
    for event in events:
        head = next_head(head, event)
    return head


@given(EVENTS)
def test_an_event_reads_back_and_has_at_most_35_bytes(event: LockEvent) -> None:
    raw = encode_event(event)
    assert len(raw) <= EVENT_BYTES
    assert decode_event(raw) == (event, len(raw))


@given(st.binary(max_size=50))
def test_any_bytes_are_an_event_or_malformed(data: bytes) -> None:
    try:
        event, end = decode_event(data)
    except GrantRefusedError:
        return
    assert encode_event(event) == data[:end]


def test_a_whole_chain_reaches_the_head_the_lock_vouched_for() -> None:
    events = chain(20)
    report = verify_chain(events, head=START, seq=0, wanted_head=head_of(events))
    assert (report.fault, report.last_seq, report.head) == (None, 20, head_of(events))
    later = verify_chain(events[7:], head=head_of(events[:7]), seq=7)
    assert later == report


@given(st.integers(0, 18), st.integers(0, 18), st.integers(0, 7))
def test_a_changed_bit_anywhere_in_the_chain_shows(index: int, at: int, bit: int) -> None:
    events = chain(20)
    wanted = head_of(events)
    bad = bytearray(events[index])
    bad[at] ^= 1 << bit
    events[index] = bytes(bad)
    assert verify_chain(events, head=START, seq=0, wanted_head=wanted).fault is not None


def test_a_gap_a_repeat_and_a_cut_tail_say_where() -> None:
    events = chain(5)
    wanted = head_of(events)
    gap = verify_chain(events[:2] + events[3:], head=START, seq=0, wanted_head=wanted).fault
    assert gap is not None
    assert (gap.kind, gap.seq) == ("gap", 3)
    twice = verify_chain(events[:3] + events[2:], head=START, seq=0).fault
    assert twice is not None
    assert (twice.kind, twice.seq) == ("order", 4)
    cut = verify_chain(events[:-1], head=START, seq=0, wanted_head=wanted).fault
    assert cut is not None
    assert (cut.kind, cut.seq) == ("head", 4)


def test_another_locks_chain_is_not_ours() -> None:
    events = chain(3)
    report = verify_chain(events, head=first_head(b"lock-009"), seq=0, wanted_head=head_of(events))
    assert report.fault is not None


@pytest.mark.parametrize(
    "event", [LockEvent(1, 2, 0, 3, b"short"), LockEvent(1, 2, 0, 3, data=bytes(17))]
)
def test_an_event_that_does_not_fit_is_not_written(event: LockEvent) -> None:
    with pytest.raises(ValueError, match="bytes"):
        encode_event(event)
