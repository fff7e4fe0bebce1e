"""The rules of reading a lock's log, over any run of events cut into any pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.locks import log_sync
from firmware_bridges.lock.client import LogPage
from tocsin.grants.lock_log import LockEvent, LockEventKind, encode_event, next_head

LOCK = b"lock0001"
EVENTS = st.lists(
    st.tuples(st.sampled_from(list(LockEventKind)), st.binary(max_size=16)), min_size=1, max_size=40
)


def chain(found: list[tuple[LockEventKind, bytes]]) -> list[tuple[bytes, bytes]]:
    """(event, head before it) of a whole log."""
    head, out = log_sync.start(LOCK).head, []
    for seq, (kind, data) in enumerate(found, 1):
        raw = encode_event(LockEvent(seq, 1_800_000_000, 2, kind, data=data))
        out.append((raw, head))
        head = next_head(head, raw)
    return out


@given(EVENTS, st.integers(1, 16))
def test_any_pages_of_a_whole_log_are_taken_without_a_fault(
    found: list[tuple[LockEventKind, bytes]], size: int
) -> None:
    log, position = chain(found), log_sync.start(LOCK)
    taken: list[bytes] = []
    while position.seq < len(log):
        part = log[position.seq : position.seq + size]
        page = LogPage(position.seq + 1, part[0][1], tuple(raw for raw, _ in part))
        step = log_sync.take(position, page, known=True)
        assert (step.fault, step.stop) == ("", False)
        position, taken = step.position, taken + list(step.events)
    assert taken == [raw for raw, _ in log]


@given(EVENTS, st.data())
def test_an_event_left_out_is_a_gap_and_a_rewritten_past_a_fault(
    found: list[tuple[LockEventKind, bytes]], data: st.DataObject
) -> None:
    log = chain([*found, (LockEventKind.CLOSED, b"")])
    at = data.draw(st.integers(1, len(log) - 1))
    raw, head = log[at]
    position = log_sync.Position(at - 1, log[at - 1][1])
    gap = log_sync.take(position, LogPage(at + 1, head, (raw,)), known=True)
    assert f"events {at} to {at} are gone" in gap.fault
    assert gap.events == (raw,)  # what is left is still kept
    forged = log_sync.Position(at, bytes(16))
    assert "rewritten" in log_sync.take(forged, LogPage(at + 1, head, (raw,)), known=True).fault


def test_a_log_that_has_gone_back_or_was_rewritten_is_named() -> None:
    position = log_sync.Position(9, b"h" * 16)
    assert "gone back from event 9 to 4" in log_sync.rolled_back(position, 4, b"x" * 16)
    assert "rewritten" in log_sync.rolled_back(position, 9, b"x" * 16)
    assert log_sync.rolled_back(position, 9, b"h" * 16) == ""
    assert log_sync.rolled_back(position, 12, b"x" * 16) == ""


def test_events_after_a_skipped_number_are_left_with_the_lock() -> None:
    one, three = (
        encode_event(LockEvent(seq, 0, 0, LockEventKind.OPENED, data=b"")) for seq in (1, 3)
    )
    start = log_sync.start(LOCK)
    step = log_sync.take(start, LogPage(1, start.head, (one, three)), known=True)
    assert (step.stop, step.position.seq, step.events) == (True, 1, (one,))
