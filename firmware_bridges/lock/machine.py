"""The lock: state and what happens -> state and what it wants done. Pure; docs/specs/lock.md.

    state, effects = boot(identity, flash, issuers, ...)        # then for everything that happens:
    state, effects = step(identity, state, happening, now_s, fresh)

`now_s` counts seconds since the lock started; `fresh` is 20 random bytes of a good source. Effects are carried out in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from firmware_bridges.lock import opening, told
from firmware_bridges.lock.flash import Flash, recovered
from firmware_bridges.lock.frames import Kind, Message, joined
from firmware_bridges.lock.happenings import (
    Area,
    BatteryAt,
    BoltMoved,
    Connected,
    Disconnected,
    DoorMoved,
    Drop,
    Effect,
    EgressUsed,
    Happening,
    Refuse,
    Tampered,
    Tick,
    Written,
)
from firmware_bridges.lock.session import (
    HELLO_BYTES,
    NONCE_BYTES,
    Challenge,
    encode_challenge,
    open_body,
    session_keys,
)
from firmware_bridges.lock.state import (
    FAILURES,
    IDLE_S,
    LOCKOUT_S,
    MAX_LOCKOUT_S,
    NONCE_S,
    Identity,
    Link,
    LockSession,
    LockState,
    Opener,
    clock_of,
    new_lock,
    shown,
)
from firmware_bridges.lock.turn import Turn
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.att import ATT_CODES
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_keys import gateway_key
from tocsin.grants.lock_log import LockEventKind

_HANDLERS: Final[dict[Kind, Callable[[Turn, LockSession, bytes], None]]] = {
    Kind.GRANT: opening.take_grant,
    Kind.PROVE: opening.take_proof,
    Kind.UNLOCK_A: opening.take_capability,
    Kind.RELOCK: opening.take_relock,
    Kind.RESCUE: opening.take_rescue,
    Kind.TIME: told.take_time,
    Kind.REVOKE: told.take_revoke,
    Kind.ROTATE: told.take_rotation,
    Kind.GETLOG: told.give_log,
    Kind.ACKLOG: told.take_ack,
}
_OPENING: Final = frozenset({Kind.GRANT, Kind.PROVE, Kind.UNLOCK_A})  # what lockout stops
_GUESSING: Final = _OPENING | {Kind.RESCUE}  # where a wrong signature counts towards it
_WRONG: Final = frozenset({LockRefusal.BAD_SIGNATURE, LockRefusal.BAD_HOLDER_PROOF})
_VOID: Final = 0xFFFF_FFFF  # a min_ctr no grant reaches
_BATTERY_MARKS: Final = (20, 10)


def boot(
    identity: Identity,
    flash: Flash,
    issuers: IssuerKeys | None,
    *,
    is_unlocked: bool,
    is_open: bool,
    fresh: bytes,
) -> tuple[LockState, tuple[Effect, ...]]:
    """The lock after power came (back). `issuers` count only for a lock whose flash is blank: they rotate.

    What a power cut tore is logged. Where no whole state is left, every grant is void until the lock is
    commissioned anew: fail secure.
    """
    found = recovered(identity, flash)
    durable = found.durable
    if durable is None:
        is_new = not found.torn and not found.seq
        durable = new_lock(identity, issuers if is_new else None).durable
        if not is_new:
            durable = msgspec.structs.replace(durable, min_ctr=_VOID, gateway_epoch=_VOID)
    state = LockState(
        durable,
        found.head,
        found.base,
        found.seq,
        found.log,
        is_unlocked=is_unlocked,
        is_open=is_open,
        lockout_until_s=durable.lockout_s if durable.is_locked_out else 0,
    )
    turn = Turn(identity, state, 0, fresh)
    turn.keep(boot_counter=durable.boot_counter + 1)
    for area in found.torn:
        turn.log(LockEventKind.TORN_WRITE, data=b"\x01" if area is Area.LOG else b"\x02")
    counter = turn.state.durable.boot_counter.to_bytes(4, "big")
    turn.log(LockEventKind.REBOOT, data=counter + bytes([shown(turn.state, 0)]))
    turn.advertise()
    return turn.state, tuple(turn.effects)


def step(
    identity: Identity, state: LockState, happening: Happening, now_s: int, fresh: bytes
) -> tuple[LockState, tuple[Effect, ...]]:
    """What becomes of the lock. Total: no happening raises."""
    turn = Turn(identity, state, now_s, fresh)
    match happening:
        case Connected():
            _connected(turn, happening)
        case Disconnected(link):
            if turn.link is not None and turn.link.number == link:
                turn.set(link=None)
        case Written():
            _written(turn, happening)
        case DoorMoved(is_open):
            _door_moved(turn, is_open)
        case BoltMoved(is_unlocked):
            opening.bolt_moved(turn, is_unlocked)
        case EgressUsed():
            _egress_used(turn)
        case Tampered(is_tampered):
            if is_tampered != state.is_tampered:
                turn.set(is_tampered=is_tampered)
                turn.log(LockEventKind.TAMPER, data=bytes([is_tampered]))
                turn.tell_news()
        case BatteryAt(percent):
            _battery_at(turn, percent)
        case Tick():
            _ticked(turn)
    turn.advertise()
    return turn.state, tuple(turn.effects)


def _connected(turn: Turn, happening: Connected) -> None:
    if turn.link is not None and turn.link.number != happening.link:
        turn.effects.append(Drop(happening.link))
        return
    turn.set(link=Link(happening.link, happening.frame_bytes, turn.now_s))


def _written(turn: Turn, happening: Written) -> None:
    link = turn.link
    if link is None or link.number != happening.link:
        turn.effects.append(Refuse(happening.link, LockRefusal.BUSY))
        return
    turn.set_link(heard_s=turn.now_s)
    _end_lockout(turn)
    kind = happening.data[1] if len(happening.data) > 1 else 0
    try:
        found = joined(link.partial, happening.data)
    except GrantRefusedError as refused:
        turn.set_link(partial=None)
        _deny(turn, refused.reason, kind)
        return
    if not isinstance(found, Message):
        turn.set_link(partial=found)
        return
    turn.set_link(partial=None)
    try:
        _take(turn, found)
    except GrantRefusedError as refused:
        _deny(turn, refused.reason, kind)


def _take(turn: Turn, message: Message) -> None:
    """Hands the message to its handler, which changes nothing before all its checks are done."""
    if message.kind is Kind.HELLO:
        _hello(turn, message.body)
        return
    handler = _HANDLERS.get(message.kind)
    if handler is None:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"{message.kind.name} comes from locks")
    session = turn.session
    if session is None:
        raise GrantRefusedError(LockRefusal.NO_LIVE_NONCE, "no HELLO came before")
    try:
        keys, plain = open_body(session.keys, message.kind, message.body)
    except GrantRefusedError:
        turn.set_link(session=None)  # whoever this is has not the session's key
        raise
    turn.set_session(keys=keys)
    if turn.state.durable.is_locked_out and message.kind in _OPENING:
        raise GrantRefusedError(LockRefusal.LOCKED_OUT, "too many wrong tries")
    try:
        handler(turn, session, plain)
    except GrantRefusedError as refused:
        if refused.reason in _WRONG and message.kind in _GUESSING:
            _count_failure(turn)
        raise


def _hello(turn: Turn, body: bytes) -> None:
    if len(body) != HELLO_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a HELLO of {len(body)} bytes")
    if turn.state.awaited is not None:
        raise GrantRefusedError(LockRefusal.BUSY, "the bolt is moving")
    client_nonce, gateway_id = body[:NONCE_BYTES], body[NONCE_BYTES:]
    nonce, state = turn.fresh[:NONCE_BYTES], turn.state
    k_gw = gateway_key(turn.identity.k_lock, gateway_id, state.durable.gateway_epoch)
    keys = session_keys(k_gw, client_nonce, nonce)
    turn.set_link(session=LockSession(gateway_id, keys, nonce, turn.now_s + NONCE_S))
    time_s, quality = clock_of(state, turn.now_s)
    challenge = Challenge(
        nonce=nonce,
        lock_id=turn.identity.lock_id,
        profile=turn.identity.profile,
        boot_counter=state.durable.boot_counter,
        event_seq=state.seq,
        log_head=state.head,
        time_s=time_s if quality else 0,
        time_quality=quality,
        min_ctr=state.durable.min_ctr,
        gateway_epoch=state.durable.gateway_epoch,
        shown=shown(state, turn.now_s),
        battery_percent=state.battery_percent,
    )
    turn.send(Kind.CHALLENGE, encode_challenge(challenge, k_gw, client_nonce))


def _deny(turn: Turn, reason: LockRefusal, kind: int) -> None:
    """Every refusal burns the nonce, is logged, and is the write's answer."""
    session, link = turn.session, turn.link
    turn.burn_nonce()
    gateway_id = session.gateway_id if session else bytes(8)
    cti = session.grant.cti if session and session.grant else bytes(8)
    turn.log(LockEventKind.DENY, cti, bytes([ATT_CODES[reason], kind]) + gateway_id)
    if link is not None:
        turn.effects.append(Refuse(link.number, reason))


def _count_failure(turn: Turn) -> None:
    durable = turn.state.durable
    if durable.failures + 1 < FAILURES:
        turn.keep(failures=durable.failures + 1)
        return
    length_s = min(MAX_LOCKOUT_S, max(LOCKOUT_S, 2 * durable.lockout_s))
    turn.keep(failures=0, lockout_s=length_s, is_locked_out=True)
    turn.set(lockout_until_s=turn.now_s + length_s)
    turn.log(LockEventKind.LOCKOUT, data=length_s.to_bytes(2, "big"))


def _end_lockout(turn: Turn) -> None:
    if turn.state.durable.is_locked_out and turn.now_s >= turn.state.lockout_until_s:
        turn.keep(is_locked_out=False)


def _door_moved(turn: Turn, is_open: bool) -> None:
    if is_open == turn.state.is_open:
        return
    turn.set(is_open=is_open)
    if is_open and not turn.state.is_unlocked:
        turn.log(LockEventKind.FORCED)
    else:
        turn.log(LockEventKind.OPENED if is_open else LockEventKind.CLOSED)
    turn.tell_news()


def _egress_used(turn: Turn) -> None:
    awaited = turn.state.awaited
    turn.keep(opener=Opener(bytes(8), True))
    turn.set(is_unlocked=True, awaited=None)
    turn.log(LockEventKind.EGRESS)
    if awaited is not None:
        turn.answer(awaited.kind, 0 if awaited.to_unlocked else 0x8C)
    turn.tell_news()


def _battery_at(turn: Turn, percent: int) -> None:
    before, percent = turn.state.battery_percent, max(0, min(100, percent))
    turn.set(battery_percent=percent)
    if any(percent < mark <= before for mark in _BATTERY_MARKS):
        turn.log(LockEventKind.BATTERY, data=bytes([percent]))
        turn.tell_news()


def _ticked(turn: Turn) -> None:
    _end_lockout(turn)
    opening.bolt_overdue(turn)
    link = turn.link
    if link is not None and turn.now_s - link.heard_s >= IDLE_S:
        turn.drop()
