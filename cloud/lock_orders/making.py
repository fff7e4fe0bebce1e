"""An order as the lock checks it: signed by a key it holds, or under its own K_order."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.lock_orders.model import REVOKE, ROTATE, TIME, Named, Order
from cloud.lock_orders.rows import Standing
from cloud.permits.holders import gateway_public
from cloud.permits.issuers import Issuers
from cloud.permits.locks import Lock, Locks
from tocsin.contract.ids import ulid
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import gateway_key, order_key, seal_for_gateway
from tocsin.grants.lock_messages import LockOrder, SealedGatewayKey, key_context
from tocsin.grants.lock_orders import (
    RevokeOrder,
    RotateOrder,
    TimeOrder,
    maced_order,
    signed_order,
)
from tocsin.grants.primitives import mac

TIME_ERROR_S = 6  # the gateway hands a time over within 5 s of asking for it
_KINDS = {REVOKE: "revoke", ROTATE: "rotate", TIME: "time"}


class Maker:
    """Makes what a lock believes; keys are opened for one call each."""

    def __init__(self, issuers: Issuers, locks: Locks) -> None:
        self._issuers, self._locks = issuers, locks

    def revoke(
        self, c: Connection, one: Standing, named: tuple[Named, ...], now_ns: int, by: str
    ) -> Order:
        """Signed with the newest key that the lock is known to hold, so that no rotation under way can part them."""
        said = RevokeOrder(one.lock.id, one.wanted.min_ctr, one.wanted.epoch, named)
        if one.lock.profile == "A":
            body = maced_order(said, order_key(self._locks.key(c, one.lock.lock)))
        else:
            issuer = self._issuers.numbered(c, one.holds.kid)
            body = signed_order(said, kid=issuer.kid, seed=issuer.seed)
        return Order(
            ulid(now_ns), one.lock.lock, REVOKE, said.min_ctr, said.gateway_epoch, named, 0, body,
            now_ns, by,
        )  # fmt: skip

    def rotate(self, c: Connection, lock: Lock, number: int, now_ns: int, by: str) -> Order:
        """To one key, signed by the one before it. Locks of profile A are not told; their gateway is."""
        before, after = self._issuers.numbered(c, number - 1), self._issuers.numbered(c, number)
        said = RotateOrder(lock.id, after.kid, after.public)
        body = signed_order(said, kid=before.kid, seed=before.seed)
        return Order(ulid(now_ns), lock.lock, ROTATE, 0, 0, (), number, body, now_ns, by)

    def time(self, lock: Lock, now_ns: int, by: str) -> Order:
        """Its bytes are made when the lock's nonce has come."""
        return Order(ulid(now_ns), lock.lock, TIME, 0, 0, (), 0, b"", now_ns, by)

    def time_over(self, c: Connection, one: Standing, nonce: bytes, now_ns: int) -> bytes:
        """The time, bound to the nonce of a session that waits for it."""
        said = TimeOrder(one.lock.id, now_ns // 10**9, nonce, TIME_ERROR_S)
        if one.lock.profile == "A":
            return maced_order(said, order_key(self._locks.key(c, one.lock.lock)))
        issuer = self._issuers.numbered(c, one.holds.kid)
        return signed_order(said, kid=issuer.kid, seed=issuer.seed)

    def gateway_keys(
        self, c: Connection, one: Standing, gateway: str
    ) -> tuple[SealedGatewayKey, ...]:
        """K_gw of the epoch the lock is in and of the one it is to be in; the same bytes every time."""
        public = gateway_public(c, gateway)
        if public is None:
            return ()
        own, found = self._locks.key(c, one.lock.lock), []
        for epoch in sorted({one.holds.epoch, one.wanted.epoch}):
            key = gateway_key(own, id_of(gateway), epoch)
            context = key_context(one.lock.id, epoch)
            once = mac(key, b"ONCE1", public)
            found.append(
                SealedGatewayKey(epoch, seal_for_gateway(key, public, context=context, once=once))
            )
        return tuple(found)


def as_sent(lock: Lock, order: Order) -> LockOrder:
    """For a `LockDown`."""
    maced = lock.profile == "A" and order.kind != ROTATE
    kind = _KINDS[order.kind]
    return LockOrder(order.id, kind, "maced" if maced else "signed", order.body)  # type: ignore[arg-type]


def by_urgency(orders: tuple[Order, ...]) -> list[Order]:
    """What is revoked first: a rotation that is told before might forget the key that signed it."""
    rank = {REVOKE: 0, ROTATE: 1, TIME: 2}
    return sorted((o for o in orders if o.is_open), key=lambda o: (rank[o.kind], o.kid, o.id))
