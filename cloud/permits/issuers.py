"""The keys that sign grants: one issues, at most two are known to locks. A new one waits until every lock has it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    RowMapping,
    exists,
    insert,
    select,
    update,
)

from cloud.db import alone
from cloud.permits.tables import grants, holder_keys, issuer_keys
from cloud.sealing import Sealing
from tocsin.errors import LockKeyError, LockKeyReason
from tocsin.grants.issuers import KID_BYTES, LIVE_KEYS, IssuerKeys
from tocsin.grants.primitives import KEY_BYTES, public_key
from tocsin.sdk import Clock


@dataclass(frozen=True, slots=True)
class Issuer:
    """A key that can sign. `kid` as locks know it."""

    kid: bytes
    public: bytes
    seed: bytes


@dataclass(frozen=True, slots=True)
class IssuerState:
    """A key as it may be shown. `issues_ns` None: it waits for the locks; `retired_ns`: locks forget it."""

    kid: str
    public: str
    made_ns: int
    issues_ns: int | None
    retired_ns: int | None


class Issuers:
    """All of one state database; seeds are sealed."""

    def __init__(self, engine: Engine, clock: Clock, sealing: Sealing) -> None:
        self._engine, self._clock, self._sealing = engine, clock, sealing

    def states(self) -> list[IssuerState]:
        """Every key there ever was, oldest first."""
        with self._engine.begin() as c:
            self.issuing(c)
            rows = c.execute(select(issuer_keys).order_by(issuer_keys.c.kid)).mappings().all()
        return [
            IssuerState(
                _kid(r["kid"]).hex(),
                r["public"].hex(),
                r["made_ns"],
                r["issues_ns"],
                r["retired_ns"],
            )
            for r in rows
        ]

    def issuing(self, c: Connection) -> Issuer:
        """The key that signs now; the first is made when it is first asked for."""
        if not _live(c):
            alone(c, issuer_keys)
            if not _live(c):  # nobody else made it meanwhile
                self._make(c, 1, self._clock.now_ns())
        return self._opened([r for r in _live(c) if r["issues_ns"] is not None][-1])

    @staticmethod
    def signing(c: Connection) -> int:
        """The number of the key that signs now; 0 before the first."""
        return max((r["kid"] for r in _live(c) if r["issues_ns"] is not None), default=0)

    def numbered(self, c: Connection, number: int) -> Issuer:
        """One key, also a retired one: a lock that was away may hold no newer one.

        Raises:
            LockKeyError: there is no such key.
        """
        self.issuing(c)
        row = c.execute(select(issuer_keys).where(issuer_keys.c.kid == number)).mappings().first()
        if row is None:
            raise LockKeyError(LockKeyReason.BAD_KEY, f"there is no issuer key {number}")
        return self._opened(row)

    def live(self, c: Connection) -> IssuerKeys:
        """What a verifier holds."""
        self.issuing(c)
        return IssuerKeys({_kid(r["kid"]): bytes(r["public"]) for r in _live(c)})

    def prepare(self) -> Issuer:
        """As `prepare_in`, in a transaction of its own."""
        with self._engine.begin() as c:
            return self.prepare_in(c)

    def prepare_in(self, c: Connection) -> Issuer:
        """A new key that does not sign yet. The oldest of two is retired by it: locks drop it as they take this one.

        Raises:
            LockKeyError: the one made before does not sign yet, or what locks would drop still opens for somebody.
        """
        self.issuing(c)
        alone(c, issuer_keys)
        rows, now_ns = _live(c), self._clock.now_ns()
        if rows[-1]["issues_ns"] is None:
            raise LockKeyError(
                LockKeyReason.KEY_WAITS,
                f"issuer key {_kid(rows[-1]['kid']).hex()} waits to be taken by the locks",
                hint="switch to it first",
            )
        for old in rows[: len(rows) - LIVE_KEYS + 1]:
            if held := _only_by(c, old["kid"], now_ns):
                raise LockKeyError(
                    LockKeyReason.GRANTS_LIVE,
                    f"live grants of issuer key {_kid(old['kid']).hex()} would open nothing more: "
                    f"permit {', '.join(held[:10])}" + (" ..." if len(held) > 10 else ""),
                    hint="permits at work get new ones within seconds, a suspended one as it resumes; revoked grants do not count",
                )
            mine = issuer_keys.c.kid == old["kid"]
            c.execute(update(issuer_keys).where(mine).values(retired_ns=now_ns))
        self._make(c, rows[-1]["kid"] + 1, None)
        return self._opened(_live(c)[-1])

    def switch(self) -> Issuer:
        """As `switch_in`, in a transaction of its own."""
        with self._engine.begin() as c:
            return self.switch_in(c)

    def switch_in(self, c: Connection) -> Issuer:
        """Sign with the newest key from now on; every lock must have it.

        Raises:
            LockKeyError: no key waits.
        """
        alone(c, issuer_keys)
        rows = _live(c)
        if not rows or rows[-1]["issues_ns"] is not None:
            raise LockKeyError(LockKeyReason.NO_KEY_WAITS, "no issuer key waits to be used")
        mine = issuer_keys.c.kid == rows[-1]["kid"]
        c.execute(update(issuer_keys).where(mine).values(issues_ns=self._clock.now_ns()))
        return self._opened(_live(c)[-1])

    def _make(self, c: Connection, number: int, issues_ns: int | None) -> None:
        seed = secrets.token_bytes(KEY_BYTES)
        c.execute(
            insert(issuer_keys).values(
                kid=number,
                public=public_key(seed),
                sealed_seed=self._sealing.seal(seed, _purpose(number)),
                made_ns=self._clock.now_ns(),
                issues_ns=issues_ns,
            )
        )

    def _opened(self, row: RowMapping) -> Issuer:
        seed = self._sealing.open(bytes(row["sealed_seed"]), _purpose(row["kid"]))
        return Issuer(_kid(row["kid"]), bytes(row["public"]), seed)


def _live(c: Connection) -> list[RowMapping]:
    query = (
        select(issuer_keys).where(issuer_keys.c.retired_ns.is_(None)).order_by(issuer_keys.c.kid)
    )
    return list(c.execute(query).mappings())


def _only_by(c: Connection, kid: int, now_ns: int) -> list[str]:
    """Permits with a live grant of this key that no grant of a later key has taken the place of."""
    old, new, holder = grants.alias(), grants.alias(), holder_keys
    same = (
        new.c[n] == old.c[n] for n in ("permit", "lock", "holder", "ops")
    )  # whoever opens by the one opens by the other
    replaced = exists().where(*same, new.c.kid > kid, *_is_live(new, now_ns))
    query = (
        select(old.c.permit)
        .join(holder, holder.c.holder == old.c.holder)
        .where(old.c.kid == kid, *_is_live(old, now_ns), holder.c.revoked_ns.is_(None), ~replaced)
        .distinct()
        .order_by(old.c.permit)
    )
    return list(c.execute(query).scalars())


def _is_live(of: FromClause, now_ns: int) -> tuple[ColumnElement[bool], ...]:
    return of.c.void_ns.is_(None), of.c.exp_ns > now_ns


def _kid(number: int) -> bytes:
    return number.to_bytes(KID_BYTES, "big")


def _purpose(number: int) -> str:
    return f"issuer key {number}"
