"""TIME, REVOKE, ROTATE, GETLOG, ACKLOG: what a lock is told, and what it tells. None of it moves the bolt."""

from __future__ import annotations

from typing import NoReturn

from firmware_bridges.lock.client import DELEGATED, MACED, MAX_PAGE_EVENTS, SIGNED
from firmware_bridges.lock.frames import Kind
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.opening import issuers_of, live_nonce, revoke_grants
from firmware_bridges.lock.state import ClockSet, LockSession
from firmware_bridges.lock.turn import Turn
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.lock_keys import DELEGATION_S, order_key, time_key
from tocsin.grants.lock_log import HEAD_BYTES, LockEventKind
from tocsin.grants.lock_orders import (
    REVOKE,
    ROTATE,
    TIME,
    Order,
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    read_maced,
    read_signed,
)


def take_time(turn: Turn, session: LockSession, body: bytes) -> None:
    """TIME: bound to this session's nonce, never before a time the cloud told."""
    nonce = live_nonce(turn, session)
    form, data = body[:1], body[1:]
    span = None
    if form == DELEGATED:
        if len(data) < 8:
            raise GrantRefusedError(LockRefusal.MALFORMED, "a delegated TIME names its span")
        span = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        if not 0 < span[1] - span[0] <= DELEGATION_S:
            raise GrantRefusedError(LockRefusal.OUTSIDE_WINDOW, "a time key lives a day at most")
        key = time_key(turn.identity.k_lock, session.gateway_id, *span)
        order = read_maced(TIME, data[8:], key)
    else:
        order = _order(turn, TIME, form, data)
    if not isinstance(order, TimeOrder):
        _not_for_us()
    _ours(turn, order)
    if order.nonce != nonce:
        raise GrantRefusedError(LockRefusal.NO_LIVE_NONCE, "the time is bound to another nonce")
    if span is not None and not span[0] <= order.unix_s <= span[1]:
        raise GrantRefusedError(LockRefusal.OUTSIDE_WINDOW, "outside the time key's span")
    if order.unix_s < turn.state.durable.time_floor_s:
        raise GrantRefusedError(LockRefusal.OUTSIDE_WINDOW, "before a time the cloud told")
    if span is None:
        turn.keep(time_floor_s=order.unix_s)
    turn.set(clock=ClockSet(turn.now_s, order.unix_s, order.max_error_s))
    data = form + session.gateway_id + bytes([order.max_error_s])
    turn.log(LockEventKind.TIME_SET, data=data)
    turn.answer(Kind.TIME)


def take_revoke(turn: Turn, session: LockSession, body: bytes) -> None:
    """REVOKE: everything only grows. A raised gateway epoch ends the session that brought it."""
    order = _order(turn, REVOKE, body[:1], body[1:])
    if not isinstance(order, RevokeOrder):
        _not_for_us()
    _ours(turn, order)
    before = turn.state.durable
    revoke_grants(turn, order.min_ctr, order.gateway_epoch, order.revoked)
    durable = turn.state.durable
    if durable != before:
        data = durable.min_ctr.to_bytes(4, "big") + durable.gateway_epoch.to_bytes(4, "big")
        turn.log(LockEventKind.REVOKED, order.revoked[0][0] if order.revoked else bytes(8), data)
    turn.set_session(grant=None)
    turn.answer(Kind.REVOKE)
    if durable.gateway_epoch != before.gateway_epoch:
        turn.set_link(session=None)


def take_rotation(turn: Turn, session: LockSession, body: bytes) -> None:
    """ROTATE (profile B): the issuer's next key."""
    order = _order(turn, ROTATE, body[:1], body[1:])
    if not isinstance(order, RotateOrder):
        _not_for_us()
    _ours(turn, order)
    before = issuers_of(turn)
    after = before.rotated(order.kid, order.key)
    if after != before:
        turn.keep(issuers=after)
        turn.log(LockEventKind.ROTATED, data=order.kid)
    turn.answer(Kind.ROTATE)


def give_log(turn: Turn, session: LockSession, body: bytes) -> None:
    """GETLOG: a page from the event asked for, or from the oldest kept."""
    count = body[4] if len(body) == 5 else 0
    if not 1 <= count <= MAX_PAGE_EVENTS:
        raise GrantRefusedError(LockRefusal.MALFORMED, "GETLOG is seq 4, count 1 to 16")
    state = turn.state
    oldest = state.seq - len(state.log) + 1
    first = min(max(int.from_bytes(body[:4], "big"), oldest), state.seq + 1)
    at = first - oldest
    events = b"".join(record.event for record in state.log[at : at + count])
    turn.send_sealed(Kind.LOGPAGE, first.to_bytes(4, "big") + _head_after(turn, first - 1) + events)


def take_ack(turn: Turn, session: LockSession, body: bytes) -> None:
    """ACKLOG: up to this event, with this head, the log is kept elsewhere."""
    if len(body) != 4 + HEAD_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"an ACKLOG of {len(body)} bytes")
    seq, head = int.from_bytes(body[:4], "big"), body[4:]
    if seq > turn.state.seq:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"event {seq} is not written yet")
    if seq > turn.state.durable.acked_seq:
        if _head_after(turn, seq) != head:
            raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, f"another head after event {seq}")
        turn.keep(acked_seq=seq)
    if turn.state.unlogged and turn.log(
        LockEventKind.SUPPRESSED, data=turn.state.unlogged.to_bytes(4, "big")
    ):
        turn.set(unlogged=0)
    turn.answer(Kind.ACKLOG)


def _head_after(turn: Turn, seq: int) -> bytes:
    """The head after event `seq`, of the ones kept; the head before the first of them otherwise."""
    state = turn.state
    at = seq - (state.seq - len(state.log)) - 1
    return state.log[at].head if at >= 0 else state.base


def _order(turn: Turn, kind: bytes, form: bytes, data: bytes) -> Order:
    if form == SIGNED and turn.identity.profile is Profile.SIGNATURES:
        return read_signed(kind, data, issuers_of(turn))
    if form == MACED and turn.identity.profile is Profile.MAC_ONLY and kind != ROTATE:
        return read_maced(kind, data, order_key(turn.identity.k_lock))
    raise GrantRefusedError(LockRefusal.NOT_ALLOWED, f"no order of form {form.hex()} here")


def _ours(turn: Turn, order: Order) -> None:
    if order.lock_id != turn.identity.lock_id:
        raise GrantRefusedError(LockRefusal.WRONG_LOCK, "the order is another lock's")


def _not_for_us() -> NoReturn:
    raise GrantRefusedError(LockRefusal.MALFORMED, "the order is of another kind")
