"""Handing a lock what the cloud ordered, in a session that is open anyway."""

from __future__ import annotations

from edge.locks.dialogue import Dialogue
from edge.locks.order_book import OrderBook
from edge.locks.wire import LockSaidNoError
from firmware_bridges.lock import client
from firmware_bridges.lock.gatt import Profile
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_messages import LockOrder
from tocsin.grants.lock_orders import REVOKE, ROTATE, RevokeOrder, RotateOrder, decode_order
from tocsin.grants.primitives import MAC_BYTES
from tocsin.grants.sign1 import parse_sign1

_FORMS = {"signed": client.SIGNED, "maced": client.MACED}
_LATER = frozenset({LockRefusal.BUSY, LockRefusal.NO_LIVE_NONCE})


async def hand_over(
    dialogue: Dialogue, book: OrderBook | None, lock_id: bytes, issuers: IssuerKeys
) -> bool:
    """Everything that waits for this lock, until one does not come through. True: the session is over with it.

    Raises:
        LinkError: the connection broke; what was not answered waits for the next contact.
    """
    for order in book.pending(lock_id) if book else ():
        assert book is not None  # noqa: S101 - it had orders
        try:
            seq = await _one(dialogue, book, lock_id, order, issuers)
        except LockSaidNoError as exc:
            if exc.refusal in _LATER:
                break
            reason = exc.refusal.value if exc.refusal else "unknown"
            await book.answered(lock_id, order, "refused", reason)
            continue
        except GrantRefusedError as exc:
            await book.answered(lock_id, order, "refused", exc.reason.value)
            continue
        if seq is None:
            continue
        await book.answered(lock_id, order, "taken", seq=seq)
        if order.kind == "revoke" and _epoch(order) > dialogue.challenge.gateway_epoch:
            return True
    return False


async def _one(
    dialogue: Dialogue, book: OrderBook, lock_id: bytes, order: LockOrder, issuers: IssuerKeys
) -> int | None:
    """The lock's newest event after it; None where it waits on."""
    form, data = _FORMS[order.form], order.order
    if order.kind == "revoke":
        return (await dialogue.ask(lambda s: client.revoke(s, form, data))).event_seq
    if order.kind == "rotate":
        found = decode_order(ROTATE, parse_sign1(data).payload)
        if not isinstance(found, RotateOrder) or found.kid not in issuers.keys:
            text = "this gateway holds no key that signed the rotation: renew `issuers`"
            raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, text)
        if dialogue.challenge.profile is Profile.MAC_ONLY:
            return 0  # it knows no signatures: the gateway alone goes by the new key
        return (await dialogue.ask(lambda s: client.rotate(s, data))).event_seq
    told = await book.time_for(lock_id, order, dialogue.challenge.nonce)
    if told is None:
        return None
    form, data = _FORMS[told.form], told.order
    return (await dialogue.ask(lambda s: client.tell_time(s, form, data))).event_seq


def _epoch(order: LockOrder) -> int:
    payload = (
        order.order[:-MAC_BYTES] if order.form == "maced" else parse_sign1(order.order).payload
    )
    found = decode_order(REVOKE, payload)
    return found.gateway_epoch if isinstance(found, RevokeOrder) else 0
