"""The secret of a grant that the cloud sealed to this gateway, for a phone that asks through the cloud."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import msgspec

from edge.permits.grants import Unlocker
from edge.permits.watched import Watched
from tests.edge.permits.day import SOURCE, CloudSide
from tocsin.grants.claims import Claims, Op, encode_claims
from tocsin.grants.grant import capability_key, issue
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import seal_for_gateway
from tocsin.grants.primitives import exchange_public
from tocsin.permits.messages import PermitDown, SealedGrant
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
