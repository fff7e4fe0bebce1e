"""The secret of a grant that the cloud sealed to this gateway, for a phone that asks through the cloud."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import msgspec

from edge.permits.grants import Unlocker
from edge.permits.watched import MOST_GRANTS, Watched
from tests.edge.permits.day import SOURCE, CloudSide
from tocsin.grants.claims import Claims, Op, encode_claims
from tocsin.grants.grant import capability_key, issue
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import seal_for_gateway
from tocsin.grants.primitives import exchange_public
from tocsin.permits.facts import LockTold
from tocsin.permits.messages import PermitDown, SealedGrant
from tocsin.permits.names import Action
from tocsin.sdk import SystemClock

if TYPE_CHECKING:
    from edge.locks.interface import Locks
    from edge.permits.desk import PermitDesk

PRIVATE, OTHER, LOCK_KEY = b"g" * 32, b"o" * 32, b"k" * 32


class Kept:
    """A desk that keeps one permit."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def permits(self) -> list[Watched]:
        return [self._watched]


def claims_of(permit: str, cti: bytes = b"grant--1") -> Claims:
    now_s = int(time.time())
    return Claims(
        cti=cti, sub=b"holder-1", aud=b"lock0007", nbf=now_s - 60, exp=now_s + 600,
        pmt=id_of(permit), ctr=1, ops=Op.UNLOCK | Op.RELOCK, uses=8, gw=id_of("gw-1"),
    )  # fmt: skip


def test_the_gateway_that_a_grant_is_sealed_to_has_its_secret_and_no_other() -> None:
    claims = claims_of("P1")
    secret = capability_key(LOCK_KEY, encode_claims(claims))
    sealed = seal_for_gateway(
        secret, exchange_public(PRIVATE), context=b"grant " + claims.cti, once=b"s" * 32
    )
    grant = SealedGrant(issue(claims, kid=b"\x00\x01", seed=bytes(32)).raw, sealed)
    cloud = CloudSide().to_active()
    told = msgspec.json.decode(cloud.down(grants=(grant,)), type=PermitDown)
    desk = cast("PermitDesk", Kept(Watched(told, cloud.entries, SOURCE)))
    locks = cast("Locks", None)  # nothing is asked of a lock here
    mine = Unlocker(desk, locks, PRIVATE, SystemClock())
    assert mine.capability(claims) == secret
    assert mine.capability(claims_of("P1", b"grant--2")) is None
    assert mine.capability(claims_of("P2")) is None
    assert Unlocker(desk, locks, OTHER, SystemClock()).capability(claims) is None


def grant_until(seconds: int, number: int) -> SealedGrant:
    """A grant that ends so many seconds from now."""
    claims = claims_of("P1", number.to_bytes(8, "big"))
    claims = msgspec.structs.replace(claims, nbf=claims.nbf - 1000, exp=int(time.time()) + seconds)
    return SealedGrant(issue(claims, kid=b"\x00\x01", seed=bytes(32)).raw)


def test_no_live_grant_is_dropped_however_many_there_are_nor_the_one_that_opened_a_lock() -> None:
    cloud = CloudSide().to_active()
    opener = grant_until(-900, 1)
    ended = [grant_until(-600, n) for n in range(100, 200)]
    live = [grant_until(600, n) for n in range(200, 400)]
    cloud.note(LockTold("hatch-1", "unlock", 1, (1).to_bytes(8, "big").hex()), Action.LOCK)
    told = msgspec.json.decode(cloud.down(), type=PermitDown)
    watched = Watched(told, cloud.entries, SOURCE)
    for grants in ((opener, *ended[:50]), (*ended[50:], *live[:120]), tuple(live[120:]), ()):
        watched.take(msgspec.structs.replace(told, grants=grants), (), time.time_ns())
    kept = watched.told.grants
    assert set(live) <= set(kept)
    assert opener in kept
    assert [g for g in kept if g in ended] == ended[-MOST_GRANTS:], "of the others the newest"
