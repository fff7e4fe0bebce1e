"""Locks as they were commissioned: which one is where, its own key (sealed), and what of its grants is revoked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Engine, RowMapping, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.db import read
from cloud.permits.tables import grants, permit_locks
from cloud.sealing import Sealing
from tocsin.errors import LockKeyError, LockKeyReason
from tocsin.grants.fields import ID_BYTES
from tocsin.grants.lock_keys import advert_key, gateway_key
from tocsin.grants.primitives import KEY_BYTES
from tocsin.sdk import Clock

Profile = Literal["A", "B"]

FIRST_EPOCH = 1  # as a lock leaves the factory (docs/specs/lock.md section 8)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock without its key. `device` is its name at its gateway, `lock` its 8 bytes in hex."""

    lock: str
    site: str
    device: str
    profile: Profile
    next_ctr: int
    min_ctr: int
    epoch: int
    changed_ns: int
    changed_by: str

    @property
    def id(self) -> bytes:
        """As in grants."""
        return bytes.fromhex(self.lock)


class Locks:
    """All of one state database. `taken_in` notes a lock and its epoch in the transaction that commissions it."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        sealing: Sealing,
        taken_in: Callable[[Connection, str, int], None],
    ) -> None:
        self._engine, self._clock, self._sealing = engine, clock, sealing
        self._taken_in = taken_in

    def all(self) -> list[Lock]:
        """By site and device."""
        with read(self._engine) as c:
            return all_locks(c)

    def commission(
        self, lock: bytes, key: bytes, *, site: str, device: str, profile: Profile, by: str
    ) -> Lock:
        """Take a lock in; its key was made by its factory and is never told again.

        Raises:
            LockKeyError: no lock id, no key, or the lock or the place is taken.
        """
        if len(lock) != ID_BYTES or len(key) != KEY_BYTES or not any(key):
            raise LockKeyError(
                LockKeyReason.BAD_KEY,
                f"a lock id has {ID_BYTES} bytes and its key {KEY_BYTES}, not all zero",
                hint="both are on the card that came with the lock",
            )
        row = {
            "lock": lock.hex(),
            "site": site,
            "device": device,
            "profile": profile,
            "sealed_key": self._sealing.seal(key, _purpose(lock.hex())),
            "next_ctr": 1,
            "min_ctr": 0,
            "epoch": FIRST_EPOCH,
            "changed_ns": self._clock.now_ns(),
            "changed_by": by,
        }
        try:
            with self._engine.begin() as c:
                there = (permit_locks.c.site == site, permit_locks.c.device == device)
                if c.execute(select(permit_locks.c.lock).where(*there)).first() is not None:
                    raise LockKeyError(
                        LockKeyReason.LOCK_TAKEN, f"{site}/{device} has a lock already"
                    )
                c.execute(insert(permit_locks).values(row))
                self._taken_in(c, lock.hex(), FIRST_EPOCH)
        except IntegrityError:
            raise LockKeyError(
                LockKeyReason.LOCK_TAKEN, f"lock {lock.hex()} is commissioned already"
            ) from None
        return self.get(lock.hex())

    def get(self, lock: str) -> Lock:
        """One of them.

        Raises:
            LockKeyError: it is not commissioned.
        """
        with read(self._engine) as c:
            return _lock(_row(c, lock))

    def revoke(self, lock: str, by: str, *, gateways_too: bool = False) -> Lock:
        """As `revoke_in`, in a transaction of its own."""
        with self._engine.begin() as c:
            return self.revoke_in(c, lock, by, gateways_too=gateways_too)

    def revoke_in(self, c: Connection, lock: str, by: str, *, gateways_too: bool = False) -> Lock:
        """Void every grant issued so far; `gateways_too`: gateway keys of this lock as well (one was stolen)."""
        row, now_ns = _row(c, lock, lock_it=True), self._clock.now_ns()
        values = {
            "min_ctr": row["next_ctr"],
            "epoch": row["epoch"] + int(gateways_too),
            "changed_ns": now_ns,
            "changed_by": by,
        }
        c.execute(update(permit_locks).where(permit_locks.c.lock == lock).values(values))
        live = and_(grants.c.lock == lock, grants.c.void_ns.is_(None))
        c.execute(update(grants).where(live).values(void_ns=now_ns))
        return _lock(_row(c, lock))

    def raise_min(self, c: Connection, lock: str, now_ns: int) -> None:
        """As high as the grants of this lock that are live let it, within the caller's transaction; void ones above are named."""
        row = _row(c, lock, lock_it=True)
        live = and_(grants.c.lock == lock, grants.c.void_ns.is_(None), grants.c.exp_ns > now_ns)
        lowest = c.scalar(select(func.min(grants.c.ctr)).where(live))
        least = row["next_ctr"] if lowest is None else lowest
        if least > row["min_ctr"]:
            values = {"min_ctr": least, "changed_ns": now_ns}
            c.execute(update(permit_locks).where(permit_locks.c.lock == lock).values(values))

    def void_phone(self, c: Connection, holder: str, now_ns: int) -> None:
        """Every live grant of a phone is void, within the caller's transaction; its locks are told."""
        live = and_(grants.c.holder == holder, grants.c.void_ns.is_(None), grants.c.exp_ns > now_ns)
        locks = sorted(set(c.scalars(select(grants.c.lock).where(live))))
        c.execute(update(grants).where(live).values(void_ns=now_ns))
        for lock in locks:
            self.raise_min(c, lock, now_ns)

    def at(self, c: Connection, site: str, device: str) -> Lock | None:
        """The lock in a place."""
        there = (permit_locks.c.site == site, permit_locks.c.device == device)
        row = c.execute(select(permit_locks).where(*there)).mappings().first()
        return None if row is None else _lock(row)

    def key(self, c: Connection, lock: str) -> bytes:
        """Its own key, for as long as something is derived from it."""
        return self._sealing.open(bytes(_row(c, lock)["sealed_key"]), _purpose(lock))

    def gateway_keys(self, lock: str, gateway: bytes) -> tuple[bytes, bytes]:
        """K_gw of this gateway in the lock's present epoch, and K_adv.

        Raises:
            LockKeyError: the lock is not commissioned.
        """
        with read(self._engine) as c:
            own, epoch = self.key(c, lock), int(_row(c, lock)["epoch"])
        return gateway_key(own, gateway, epoch), advert_key(own)

    def next_ctr(self, c: Connection, lock: str) -> int:
        """The number of a new grant."""
        ctr = int(_row(c, lock, lock_it=True)["next_ctr"])
        c.execute(update(permit_locks).where(permit_locks.c.lock == lock).values(next_ctr=ctr + 1))
        return ctr


def all_locks(c: Connection) -> list[Lock]:
    """By site and device."""
    query = select(permit_locks).order_by(permit_locks.c.site, permit_locks.c.device)
    return [_lock(r) for r in c.execute(query).mappings()]


def _row(c: Connection, lock: str, *, lock_it: bool = False) -> RowMapping:
    query = select(permit_locks).where(permit_locks.c.lock == lock)
    row = c.execute(query.with_for_update() if lock_it else query).mappings().first()
    if row is None:
        raise LockKeyError(
            LockKeyReason.UNKNOWN_LOCK,
            f"there is no lock {lock!r}",
            hint="a technician commissions it",
        )
    return row


def _lock(row: RowMapping) -> Lock:
    return Lock(**{name: row[name] for name in Lock.__slots__})


def _purpose(lock: str) -> str:
    return f"key of lock {lock}"
