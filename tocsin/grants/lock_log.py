"""The lock's own log: events in a hash chain, so that one left out, changed or forked shows. docs/specs/lock.md, section 6.

An event is seq(4) time(4) time quality(1) type(1) cti(8) length(1) data(0-16), big endian; the head after it is
SHA-256(head before || event), cut to 16 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.fields import ID_BYTES
from tocsin.grants.primitives import sha256

HEAD_BYTES: Final = 16
DATA_BYTES: Final = 16  # at most
FIXED_BYTES: Final = 19
EVENT_BYTES: Final = FIXED_BYTES + DATA_BYTES  # the longest event
NO_GRANT: Final = bytes(ID_BYTES)


class LockEventKind(IntEnum):
    """What happened at the lock. Stable."""

    UNLOCK = 1  # a grant was accepted; data: ctr 4, uses left 1, gateway 8
    RELOCK = 2  # the bolt is out again; data: headcount 2, gateway 8
    OPENED = 3  # the door
    CLOSED = 4
    FORCED = 5  # the door opened while the bolt was out
    TAMPER = 6  # data: 1 begins, 0 ends
    DENY = 7  # data: refusal code 1, frame type 1, gateway 8
    LOCKOUT = 8  # data: seconds 2
    BATTERY = 9  # data: percent 1
    REBOOT = 10  # data: boot counter 4, state 1
    TIME_SET = 11  # data: form 1, gateway 8, error s 1
    FIRMWARE = 12  # data: version 4
    EGRESS = 13  # the inside handle was used
    RESCUE = 14  # data: the second grant's cti 8, gateway 8
    REVOKED = 15  # data: min_ctr 4, gateway epoch 4
    ROTATED = 16  # data: kid 2
    JAMMED = 17  # the bolt did not move; data: 1 to unlock, 0 to lock
    TORN_WRITE = 18  # data: 1 a log record, 2 the state; found after a reboot
    SUPPRESSED = 19  # data: events 4 that found no room
    BY_HAND = 20  # the bolt moved without an order, a key perhaps; data: 1 unlocked, 0 locked


# what anyone near can cause at will: has two thirds of the log at most, so that it never crowds out the rest
MINOR: Final = frozenset({LockEventKind.DENY, LockEventKind.LOCKOUT, LockEventKind.BATTERY})


class LockEvent(msgspec.Struct, frozen=True):
    """One event. `time_s` is Unix seconds, or seconds since boot where `time_quality` is 0."""

    seq: int
    time_s: int
    time_quality: int  # 0 unknown, 1 under 60 s wrong, 2 under 10 s
    kind: int  # a LockEventKind; one of newer firmware stays a number
    cti: bytes = NO_GRANT
    data: bytes = b""


def first_head(lock_id: bytes) -> bytes:
    """The head before event 1."""
    return sha256(b"LOG1", lock_id)[:HEAD_BYTES]


def next_head(head: bytes, event: bytes) -> bytes:
    """The head after an event's bytes."""
    return sha256(head, event)[:HEAD_BYTES]


def encode_event(event: LockEvent) -> bytes:
    """19 to 35 bytes. Raises ValueError for what does not fit."""
    if len(event.cti) != ID_BYTES or len(event.data) > DATA_BYTES:
        raise ValueError(f"cti of {len(event.cti)} and data of {len(event.data)} bytes")
    return b"".join(
        (
            event.seq.to_bytes(4, "big"),
            event.time_s.to_bytes(4, "big"),
            bytes([event.time_quality, event.kind]),
            event.cti,
            bytes([len(event.data)]),
            event.data,
        )
    )


def decode_event(data: bytes, at: int = 0) -> tuple[LockEvent, int]:
    """The event that begins at byte `at`, and where it ends. Raises GrantRefusedError (`malformed`)."""
    fixed = data[at : at + FIXED_BYTES]
    if len(fixed) < FIXED_BYTES or fixed[18] > DATA_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"no log event at byte {at}")
    end = at + FIXED_BYTES + fixed[18]
    if end > len(data):
        raise GrantRefusedError(LockRefusal.MALFORMED, f"the log event at byte {at} is cut short")
    event = LockEvent(
        seq=int.from_bytes(fixed[0:4], "big"),
        time_s=int.from_bytes(fixed[4:8], "big"),
        time_quality=fixed[8],
        kind=fixed[9],
        cti=fixed[10:18],
        data=data[at + FIXED_BYTES : end],
    )
    return event, end


class ChainFault(msgspec.Struct, frozen=True):
    """Where a chain breaks, and how: `gap`, `order` or `head`."""

    kind: str
    seq: int
    detail: str


class ChainReport(msgspec.Struct, frozen=True):
    """What a run of events shows. `head` is the one after the last event that fits."""

    head: bytes
    last_seq: int
    fault: ChainFault | None = None


def verify_chain(
    events: Sequence[bytes], *, head: bytes, seq: int, wanted_head: bytes | None = None
) -> ChainReport:
    """Follows `events` (their bytes, oldest first) from the trusted `head` after event `seq` (0 with `first_head`).

    `wanted_head` is the head the lock vouched for after the last of them: a log that was cut, changed or forked does
    not reach it.
    """
    for raw in events:
        try:
            event, end = decode_event(raw)
        except GrantRefusedError as refused:
            return ChainReport(head, seq, ChainFault("head", seq + 1, refused.message))
        if end != len(raw):
            return ChainReport(head, seq, ChainFault("head", seq + 1, "bytes follow the event"))
        if event.seq != seq + 1:
            kind = "gap" if event.seq > seq + 1 else "order"
            return ChainReport(
                head, seq, ChainFault(kind, seq + 1, f"event {event.seq} follows {seq}")
            )
        head, seq = next_head(head, raw), event.seq
    if wanted_head is not None and head != wanted_head:
        return ChainReport(
            head, seq, ChainFault("head", seq, "the lock's head after this event is another")
        )
    return ChainReport(head, seq)
