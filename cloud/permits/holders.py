"""Public keys of people's phones and of gateways: whom a grant is for, and whom its secret is sealed to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.db import read
from cloud.permits.locks import Locks
from cloud.permits.tables import gateway_keys, grants, holder_keys, permits
from tocsin.errors import LockKeyError, LockKeyReason
from tocsin.grants.claims import holder_id
from tocsin.grants.grant import PROOF_HOLD
from tocsin.grants.primitives import KEY_BYTES, exchange, is_signed
from tocsin.sdk import Clock


@dataclass(frozen=True, slots=True)
class HolderKey:
    """One phone of one person."""

    holder: str
    account: str
    public: bytes
    name: str
    registered_ns: int
    revoked_ns: int | None


class Holders:
    """All of one state database."""

    def __init__(self, engine: Engine, clock: Clock, locks: Locks) -> None:
        self._engine, self._clock, self._locks = engine, clock, locks

    def register(self, account: str, public: bytes, proof: bytes, name: str) -> HolderKey:
        """A phone's Ed25519 key; `proof` is its signature over "HOLD1" and the account's name.

        Raises:
            LockKeyError: no key, no proof, or the key is somebody's already.
        """
        if len(public) != KEY_BYTES or not is_signed(public, proof, PROOF_HOLD + account.encode()):
            raise LockKeyError(
                LockKeyReason.BAD_KEY,
                "this is no Ed25519 key with a signature of its own over the account's name",
            )
        row = {
            "holder": holder_id(public).hex(),
            "account": account,
            "public": public,
            "name": name,
            "registered_ns": self._clock.now_ns(),
        }
        try:
            with self._engine.begin() as c:
                c.execute(insert(holder_keys).values(row))
        except IntegrityError:
            with read(self._engine) as c:
                before = _one(c, str(row["holder"]))
            if before is None or before.account != account or before.revoked_ns is not None:
                raise LockKeyError(
                    LockKeyReason.KEY_TAKEN,
                    "this key is registered, or was revoked",
                    hint="make a new one",
                ) from None
            return before
        with read(self._engine) as c:
            made = _one(c, str(row["holder"]))
        assert made is not None  # noqa: S101 - it was written a line above
        return made

    def revoke(self, holder: str, account: str | None) -> HolderKey:
        """No more grants for this phone, and those it has are void; `account`: only if it is this person's.

        Raises:
            LockKeyError: no such key.
        """
        now_ns = self._clock.now_ns()
        with self._engine.begin() as c:
            found = _one(c, holder)
            if found is None or account not in (None, found.account):
                raise LockKeyError(LockKeyReason.BAD_KEY, f"there is no key {holder!r}")
            if found.revoked_ns is None:
                c.execute(
                    update(holder_keys)
                    .where(holder_keys.c.holder == holder)
                    .values(revoked_ns=now_ns)
                )
                self._locks.void_phone(c, holder, now_ns)
            again = _one(c, holder)
        assert again is not None  # noqa: S101 - rows are never deleted
        return again

    def sites_of(self, holder: str) -> list[str]:
        """Where grants of a phone have not run out: the gateways there must hear that they are void."""
        lasting = and_(grants.c.holder == holder, grants.c.exp_ns > self._clock.now_ns())
        query = select(permits.c.site).join(grants, grants.c.permit == permits.c.id).where(lasting)
        with read(self._engine) as c:
            return sorted(set(c.scalars(query)))

    def of(self, account: str) -> list[HolderKey]:
        """Every key of a person, newest first."""
        with read(self._engine) as c:
            return keys_of(c, account, revoked_too=True)

    def meet_gateway(self, gateway: str, public: bytes) -> bool:
        """A gateway tells its key itself: taken where it has none. False: another one is registered, and stays.

        Raises:
            LockKeyError: it is no usable key.
        """
        with read(self._engine) as c:
            known = gateway_public(c, gateway)
        if known is None:
            self.register_gateway(gateway, public)
        return known in (None, public)

    def register_gateway(self, gateway: str, public: bytes) -> None:
        """The X25519 key that secrets for this gateway are sealed to.

        Raises:
            LockKeyError: it is no usable key.
        """
        if len(public) != KEY_BYTES or exchange(b"\x01" * KEY_BYTES, public) is None:
            raise LockKeyError(LockKeyReason.BAD_KEY, "this is no X25519 public key")
        values = {"public": public, "registered_ns": self._clock.now_ns()}
        mine = gateway_keys.c.gateway == gateway
        with self._engine.begin() as c:
            if c.execute(update(gateway_keys).where(mine).values(values)).rowcount == 0:
                c.execute(insert(gateway_keys).values(gateway=gateway, **values))


def keys_of(c: Connection, account: str, *, revoked_too: bool = False) -> list[HolderKey]:
    """The living keys of a person, newest first."""
    query = select(holder_keys).where(holder_keys.c.account == account)
    if not revoked_too:
        query = query.where(holder_keys.c.revoked_ns.is_(None))
    order = query.order_by(holder_keys.c.registered_ns.desc(), holder_keys.c.holder)
    return [_holder(r) for r in c.execute(order).mappings()]


def owner_of(c: Connection, holder: str) -> HolderKey | None:
    """Whose key it is, or was; None where nobody registered it."""
    return _one(c, holder)


def gateway_public(c: Connection, gateway: str) -> bytes | None:
    """The key of a gateway; None where it never told one."""
    found = c.scalar(select(gateway_keys.c.public).where(gateway_keys.c.gateway == gateway))
    return None if found is None else bytes(found)


def _one(c: Connection, holder: str) -> HolderKey | None:
    row = c.execute(select(holder_keys).where(holder_keys.c.holder == holder)).mappings().first()
    return None if row is None else _holder(row)


def _holder(row: RowMapping) -> HolderKey:
    values = {name: row[name] for name in HolderKey.__slots__}
    return HolderKey(**{**values, "public": bytes(row["public"])})
