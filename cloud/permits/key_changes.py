"""Grants voided in bulk and issuer keys replaced: each with an entry, of the same transaction, that says who and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection, Engine

from cloud.db import read
from cloud.permits.issuers import Issuer, Issuers
from cloud.permits.ledger import Change, items, put
from cloud.permits.locks import Lock, Locks, all_locks
from tocsin.contract.ids import ulid
from tocsin.errors import LockKeyError, LockKeyReason
from tocsin.sdk import Clock

REVOKED, GATEWAYS_TOO = "grants-revoked", "grants-and-gateways-revoked"
PREPARED, SWITCHED, FORCED = "issuer-prepared", "issuer-switched", "issuer-switched-by-force"


class KeyChanges:
    """All of one state database. `behind` names locks (site/device) without the newest issuer key."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        locks: Locks,
        issuers: Issuers,
        behind: Callable[[], list[str]],
    ) -> None:
        self._engine, self._clock, self._behind = engine, clock, behind
        self._locks, self._issuers = locks, issuers

    def named(self, names: Sequence[str]) -> list[Lock]:
        """Locks by id or site/device, each once; all where none is named.

        Raises:
            LockKeyError: there is no such lock.
        """
        with read(self._engine) as c:
            found = all_locks(c)
        known = {k.lock: k for k in found} | {f"{k.site}/{k.device}": k for k in found}
        if wrong := [name for name in names if name not in known]:
            raise LockKeyError(
                LockKeyReason.UNKNOWN_LOCK,
                f"there is no lock {', '.join(wrong)}",
                hint=f"there are {', '.join(f'{k.site}/{k.device}' for k in found[:10]) or 'none'}",
            )
        return list({k.lock: k for k in map(known.__getitem__, names)}.values()) or found

    def revoke(
        self, locks: Sequence[str], by: str, reason: str, *, gateways_too: bool = False
    ) -> list[Lock]:
        """Void every grant issued so far for these locks (ids): all of them, or none.

        Raises:
            LockKeyError: one is not commissioned.
        """
        what, told = GATEWAYS_TOO if gateways_too else REVOKED, []
        with self._engine.begin() as c:
            for lock in sorted(locks):
                told.append(self._locks.revoke_in(c, lock, by, gateways_too=gateways_too))
                place = f"{told[-1].site}/{told[-1].device}"
                self._note(c, what, place, by, reason, told[-1].site)
        return told

    def prepare(self, by: str, reason: str) -> Issuer:
        """The next issuer key; it signs nothing until it is switched to.

        Raises:
            LockKeyError: the one made before does not sign yet.
        """
        with self._engine.begin() as c:
            made = self._issuers.prepare_in(c)
            self._note(c, PREPARED, made.kid.hex(), by, reason)
        return made

    def switch(self, by: str, reason: str, *, force: bool = False) -> Issuer:
        """Sign with the newest key. A lock that has not taken it would open for nobody: `force` leaves it behind.

        Raises:
            LockKeyError: no key waits, or locks have not taken it.
        """
        behind = self._behind()
        if behind and not force:
            raise LockKeyError(
                LockKeyReason.NOT_TAKEN,
                f"not taken yet by {', '.join(behind[:10])}" + (" ..." if len(behind) > 10 else ""),
                hint="wait until they are in range of their gateways; `force` leaves them behind",
            )
        with self._engine.begin() as c:
            made = self._issuers.switch_in(c)
            self._note(c, FORCED if behind else SWITCHED, made.kid.hex(), by, reason)
        return made

    def all(self, sites: Collection[str] | None = None, limit: int = 100) -> list[Change]:
        """Newest first; of issuer keys, and of locks at these sites."""
        with read(self._engine) as c:
            found = items(c, Change)
        mine = [k for k in found if sites is None or not k.site or k.site in sites]
        return sorted(mine, key=lambda k: k.id, reverse=True)[:limit]

    def _note(
        self, c: Connection, what: str, about: str, by: str, reason: str, site: str = ""
    ) -> None:
        now_ns = self._clock.now_ns()
        change = Change(ulid(now_ns), now_ns, by, what, about, site, reason)
        put(c, site, change.id, change, by, now_ns)
