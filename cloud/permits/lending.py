"""Lending gateways the right to tell locks the time, so that a lock that lost power opens with the cloud away."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from cloud.permits.holders import gateway_public
from cloud.permits.locks import Lock, Locks
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import seal_for_gateway, time_key
from tocsin.grants.primitives import mac
from tocsin.permits.messages import LentTime

STEP_S = 6 * 3600  # a span begins anew every six hours and lasts until the next but two
SPAN_S = 24 * 3600


def lent_times(
    c: Connection, locks: Locks, found: Iterable[Lock], gateway: str, now_ns: int
) -> tuple[LentTime, ...]:
    """K_time of each lock, the same bytes within a span; none for a gateway that told no key to seal it to."""
    public = gateway_public(c, gateway)
    if public is None:
        return ()
    from_s = now_ns // 10**9 // STEP_S * STEP_S
    until_s = from_s + SPAN_S
    lent = []
    for lock in found:
        key = time_key(locks.key(c, lock.lock), id_of(gateway), from_s, until_s)
        bare = LentTime(lock.device, lock.id, from_s, until_s, b"")
        once = mac(
            key, b"ONCE1", public
        )  # one secret, one seal: a message that says nothing new is the same
        sealed = seal_for_gateway(key, public, context=bare.context, once=once)
        lent.append(LentTime(lock.device, lock.id, from_s, until_s, sealed))
    return tuple(lent)
