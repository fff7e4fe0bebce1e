"""How a lock keeps its state and log so that a write cut by a power loss shows. docs/specs/lock.md, section 6.

State: two slots written in turn, the newer whole one counts. Log: event n lies in slot (n - 1) mod 512. Each slot ends with a
check, the first bytes of a SHA-256, so that half a write is no slot.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import msgspec

from firmware_bridges.lock.happenings import Area
from firmware_bridges.lock.state import (
    LOG_EVENTS,
    Durable,
    Identity,
    Opener,
    Record,
    Remembered,
)
from tocsin.errors import GrantRefusedError
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import EVENT_BYTES, HEAD_BYTES, decode_event, first_head, next_head
from tocsin.grants.primitives import sha256

STATE_SLOTS: Final = 2
STATE_BYTES: Final = 1024
RECORD_BYTES: Final = 64
CHECK_BYTES: Final = 8
_FIXED: Final = struct.Struct(">IIIIIIBHB8sB")
_ISSUER: Final = struct.Struct(">2s32s")
_USED: Final = struct.Struct(">8sIBB")
_RECORD_BODY: Final = RECORD_BYTES - CHECK_BYTES
Flash = Mapping[tuple[Area, int], bytes]


class Recovered(msgspec.Struct, frozen=True):
    """What flash held. `torn` tells which area had a write that was cut."""

    durable: Durable | None
    log: tuple[Record, ...]
    base: bytes  # the head before the first of `log`
    seq: int
    head: bytes
    torn: tuple[Area, ...]


def state_slot(durable: Durable) -> tuple[int, bytes]:
    """Where and how this generation is written."""
    opener = durable.opener
    parts = [
        _FIXED.pack(
            durable.generation,
            durable.boot_counter,
            durable.min_ctr,
            durable.gateway_epoch,
            durable.time_floor_s,
            durable.acked_seq,
            durable.failures,
            durable.lockout_s,
            durable.is_locked_out,
            opener.cti,
            opener.may_relock,
        )
    ]
    keys = sorted(durable.issuers.keys.items()) if durable.issuers else []
    parts.append(bytes([len(keys)]))
    parts += [_ISSUER.pack(*pair) for pair in keys]
    parts.append(bytes([len(durable.used)]))
    parts += [_USED.pack(one.cti, one.ctr, one.left, one.is_revoked) for one in durable.used]
    body = b"".join(parts).ljust(STATE_BYTES - CHECK_BYTES, b"\0")
    return durable.generation % STATE_SLOTS, body + _check(b"STA1", body)


def log_slot(seq: int, record: Record) -> tuple[int, bytes]:
    """Where and how an event of the log is written."""
    body = (record.event.ljust(EVENT_BYTES, b"\0") + record.head).ljust(_RECORD_BODY, b"\0")
    return (seq - 1) % LOG_EVENTS, body + _check(b"REC1", body)


def recovered(identity: Identity, flash: Flash) -> Recovered:
    """Everything that is whole. The log is the longest run of linked events up to the newest."""
    torn: list[Area] = []
    states = []
    for slot in range(STATE_SLOTS):
        data = flash.get((Area.STATE, slot), b"")
        durable = _durable(data)
        if durable is not None and durable.generation % STATE_SLOTS == slot:
            states.append(durable)
        elif not _is_blank(data):
            torn.append(Area.STATE)
    records: dict[int, Record] = {}
    for slot in range(LOG_EVENTS):
        found = _record(flash.get((Area.LOG, slot), b""))
        if found is not None and (found[0] - 1) % LOG_EVENTS == slot:
            records[found[0]] = found[1]
    seq = max(records, default=0)
    if not _is_blank(flash.get((Area.LOG, seq % LOG_EVENTS), b"")) and (
        seq + 1 - LOG_EVENTS not in records
    ):
        torn.append(Area.LOG)
    run = _run(records, seq)
    base = first_head(identity.lock_id)
    head = run[-1].head if run else base
    if run and seq - len(run) > 0:  # the oldest one's head is where the chain begins now
        base, run = run[0].head, run[1:]
    newest = max(states, key=lambda one: one.generation, default=None)
    return Recovered(newest, run, base, seq, head, tuple(torn))


def _run(records: dict[int, Record], seq: int) -> tuple[Record, ...]:
    run: list[Record] = []
    while seq in records:
        if run and next_head(records[seq].head, run[-1].event) != run[-1].head:
            break
        run.append(records[seq])
        seq -= 1
    return tuple(reversed(run))


def _durable(data: bytes) -> Durable | None:
    body = data[:-CHECK_BYTES]
    if len(data) != STATE_BYTES or data[-CHECK_BYTES:] != _check(b"STA1", body):
        return None
    fixed = _FIXED.unpack_from(body)
    at = _FIXED.size
    count, at = body[at], at + 1
    keys = dict(_ISSUER.unpack_from(body, at + n * _ISSUER.size) for n in range(count))
    at += count * _ISSUER.size
    count, at = body[at], at + 1
    used = tuple(
        Remembered(cti, ctr, left, bool(is_revoked))
        for cti, ctr, left, is_revoked in (
            _USED.unpack_from(body, at + n * _USED.size) for n in range(count)
        )
    )
    return Durable(
        generation=fixed[0],
        boot_counter=fixed[1],
        min_ctr=fixed[2],
        gateway_epoch=fixed[3],
        time_floor_s=fixed[4],
        acked_seq=fixed[5],
        failures=fixed[6],
        lockout_s=fixed[7],
        is_locked_out=bool(fixed[8]),
        opener=Opener(fixed[9], bool(fixed[10])),
        issuers=IssuerKeys(keys) if keys else None,
        used=used,
    )


def _record(data: bytes) -> tuple[int, Record] | None:
    body = data[:_RECORD_BODY]
    if len(data) != RECORD_BYTES or data[_RECORD_BODY:] != _check(b"REC1", body):
        return None
    try:
        event, end = decode_event(body[:EVENT_BYTES])
    except GrantRefusedError:
        return None
    return event.seq, Record(body[:end], body[EVENT_BYTES : EVENT_BYTES + HEAD_BYTES])


def _check(purpose: bytes, body: bytes) -> bytes:
    return sha256(purpose, body)[:CHECK_BYTES]


def _is_blank(data: bytes) -> bool:
    return not data.strip(b"\xff")
