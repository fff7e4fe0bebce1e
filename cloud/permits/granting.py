"""Grants of one permit: issued for its lock and holders, sealed to its gateway, logged, voided."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, select, update

from cloud.permits.holders import HolderKey, gateway_public
from cloud.permits.issuers import Issuers
from cloud.permits.locks import Lock, Locks
from cloud.permits.tables import grants
from tocsin.errors import LockKeyError, LockKeyReason
from tocsin.grants.claims import LIFETIME_S, RESCUE_LIFETIME_S, Claims, Op, encode_claims
from tocsin.grants.fields import ID_BYTES
from tocsin.grants.grant import capability_key, issue
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import seal_for_gateway
from tocsin.grants.primitives import KEY_BYTES
from tocsin.permits.messages import SealedGrant

BACK_S = 60  # `nbf` lies so far back, for clocks that are behind
RENEW_BEFORE_NS = 10 * 60 * 10**9  # a grant is renewed so long before its end
USES = 8  # of one grant: in and out, and a second try at a stiff bolt
_S = 10**9


@dataclass(frozen=True, slots=True)
class Granted:
    """One grant as it is logged. `lock`, `holder` and `cti` in hex."""

    cti: str
    permit: str
    lock: str
    holder: str
    account: str
    gateway: str
    ctr: int
    ops: int
    kid: int
    nbf_ns: int
    exp_ns: int
    issued_ns: int
    void_ns: int | None
    cose: bytes
    sealed_key: bytes

    @property
    def rescue(self) -> bool:
        """Whether it is one of those that open only together with another person's."""
        return bool(self.ops & Op.RESCUE)

    def is_live(self, now_ns: int) -> bool:
        """Whether a lock would still take it."""
        return self.void_ns is None and self.exp_ns > now_ns

    @property
    def sealed(self) -> SealedGrant:
        """As its gateway is told."""
        return SealedGrant(self.cose, self.sealed_key)


class Granter:
    """Issues within the caller's transaction, so that a grant and what allowed it are kept together or not at all."""

    def __init__(self, issuers: Issuers, locks: Locks) -> None:
        self._issuers, self._locks = issuers, locks

    def signing(self, c: Connection) -> int:
        """The number of the key that new grants are signed with."""
        return self._issuers.signing(c)

    def issue(
        self,
        c: Connection,
        *,
        permit: str,
        lock: Lock,
        holder: HolderKey,
        gateway: str,
        until_ns: int,
        now_ns: int,
        rescue: bool = False,
    ) -> Granted | None:
        """A grant to `until_ns` at most and for no longer than any may live; None when nothing of that is left.

        Raises:
            LockKeyError: the lock needs a secret and the gateway has told no key to seal it to.
        """
        now_s = now_ns // _S
        longest_s = RESCUE_LIFETIME_S if rescue else LIFETIME_S
        nbf, exp = now_s - BACK_S, min(now_s - BACK_S + longest_s, until_ns // _S)
        if exp <= now_s:
            return None
        issuer = self._issuers.issuing(c)
        claims = Claims(
            cti=secrets.token_bytes(ID_BYTES),
            sub=bytes.fromhex(holder.holder),
            aud=lock.id,
            nbf=nbf,
            exp=exp,
            pmt=id_of(permit),
            ctr=self._locks.next_ctr(c, lock.lock),
            ops=Op.RESCUE if rescue else Op.UNLOCK | Op.RELOCK,
            uses=1 if rescue else USES,
            gw=id_of(gateway),
        )
        made = issue(claims, kid=issuer.kid, seed=issuer.seed)
        granted = Granted(
            cti=claims.cti.hex(),
            permit=permit,
            lock=lock.lock,
            holder=holder.holder,
            account=holder.account,
            gateway=gateway,
            ctr=claims.ctr,
            ops=int(claims.ops),
            kid=int.from_bytes(issuer.kid, "big"),
            nbf_ns=nbf * _S,
            exp_ns=exp * _S,
            issued_ns=now_ns,
            void_ns=None,
            cose=made.raw,
            sealed_key=self._sealed(c, lock, claims, gateway) if lock.profile == "A" else b"",
        )
        c.execute(insert(grants).values({n: getattr(granted, n) for n in Granted.__slots__}))
        return granted

    def _sealed(self, c: Connection, lock: Lock, claims: Claims, gateway: str) -> bytes:
        public = gateway_public(c, gateway)
        if public is None:
            raise LockKeyError(
                LockKeyReason.NO_GATEWAY_KEY,
                f"gateway {gateway!r} has told no key to seal the grant of lock {lock.lock} to",
                hint="it tells its key as it connects; a technician may register it",
            )
        key = capability_key(self._locks.key(c, lock.lock), encode_claims(claims))
        return seal_for_gateway(
            key, public, context=b"grant " + claims.cti, once=secrets.token_bytes(KEY_BYTES)
        )


def grants_of(c: Connection, permit: str) -> list[Granted]:
    """Every grant of a permit, in the order of their issue."""
    query = (
        select(grants).where(grants.c.permit == permit).order_by(grants.c.issued_ns, grants.c.ctr)
    )
    return [_granted(r) for r in c.execute(query).mappings()]


def void(c: Connection, permit: str, now_ns: int, *, rescue_too: bool) -> list[Granted]:
    """Deny what is live of a permit's grants; gateways refuse them at once, locks as soon as they are told."""
    live = [g for g in grants_of(c, permit) if g.is_live(now_ns) and (rescue_too or not g.rescue)]
    for one in live:
        c.execute(update(grants).where(grants.c.cti == one.cti).values(void_ns=now_ns))
    return live


def _granted(row: RowMapping) -> Granted:
    values = {name: row[name] for name in Granted.__slots__}
    return Granted(**{**values, "cose": bytes(row["cose"]), "sealed_key": bytes(row["sealed_key"])})
