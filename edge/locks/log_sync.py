"""How far a lock's log was read, and whether what it shows now goes on from there. Pure."""

from __future__ import annotations

import msgspec

from firmware_bridges.lock.client import LogPage
from tocsin.grants.lock_log import LockEventKind, decode_event, first_head, verify_chain


class Position(msgspec.Struct, frozen=True):
    """The last event that is journalled here, and the chain's head after it."""

    seq: int
    head: bytes


class Step(msgspec.Struct, frozen=True):
    """One page taken: events to journal (may be none), where we stand after them, and what does not fit ("": all fits)."""

    position: Position
    events: tuple[bytes, ...]
    first_seq: int
    head_before: bytes
    fault: str = ""
    stop: bool = False  # the chain is broken: acknowledge nothing


def start(lock_id: bytes) -> Position:
    """Before the first event of a lock's life."""
    return Position(0, first_head(lock_id))


def rolled_back(position: Position, newest_seq: int, newest_head: bytes) -> str:
    """What is wrong with a lock that vouches for this newest event; "" where nothing is."""
    if newest_seq < position.seq:
        return f"its log has gone back from event {position.seq} to {newest_seq}"
    if newest_seq == position.seq and newest_head != position.head:
        return f"its log was rewritten: event {newest_seq} has another head"
    return ""


def take(position: Position, page: LogPage, *, known: bool) -> Step:
    """One page after `position`. `known` is False where nobody remembers how far the log was read."""
    fault = ""
    head, seq = position.head, position.seq
    if page.first_seq > position.seq + 1:
        if known:
            fault = (
                f"events {position.seq + 1} to {page.first_seq - 1} are gone: another gateway "
                "acknowledged them, or they were overwritten"
            )
        head, seq = page.head, page.first_seq - 1
    elif known and page.head != position.head:
        fault = (
            f"its log was rewritten: event {position.seq} has another head than when it was read"
        )
        head = page.head
    report = verify_chain(page.events, head=head, seq=seq)
    count = report.last_seq - seq
    events = page.events[:count]
    after = Position(report.last_seq, report.head)
    if report.fault is not None:
        fault = f"the chain breaks at event {report.fault.seq}: {report.fault.detail}"
        return Step(after, events, seq + 1, head, fault, stop=True)
    return Step(after, events, seq + 1, head, fault)


def opened_under(events: tuple[bytes, ...], cti: bytes, kind: LockEventKind) -> int:
    """The number of the event of this kind under this grant, 0 if there is none."""
    for raw in events:
        event, _ = decode_event(raw)
        if event.kind == kind and event.cti == cti:
            return event.seq
    return 0


def named(events: tuple[bytes, ...]) -> str:
    """The events' names for people: "unlock, opened, closed"."""
    return ", ".join(_name(decode_event(raw)[0].kind) for raw in events)


def _name(kind: int) -> str:
    try:
        return LockEventKind(kind).name.lower().replace("_", "-")
    except ValueError:
        return f"event-{kind}"
