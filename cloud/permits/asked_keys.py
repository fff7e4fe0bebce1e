"""Phone keys that were made at a gateway's own page: kept until somebody confirms them here, and nobody's before."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine

from cloud.db import read
from cloud.permits.holders import HolderKey, Holders, keys_of, owner_of
from cloud.permits.ledger import AskedKey, Ledger, items, put, remove
from cloud.permits.situations import people_at
from tocsin.errors import LockKeyError, LockKeyReason
from tocsin.grants.claims import holder_id
from tocsin.grants.grant import PROOF_HOLD
from tocsin.grants.primitives import is_signed
from tocsin.permits.messages import CONFIRMED, REVOKED, WAITING, KeyUp
from tocsin.sdk import Clock

MOST = 5  # of one account; the oldest goes first
BAD_PROOF, NO_ROLE, TAKEN = "bad-proof", "no-role", "taken"  # why one is refused here by itself


def take(c: Connection, site: str, gateway: str, up: KeyUp, now_ns: int) -> None:
    """What a gateway carries up, within the caller's transaction; told again it changes nothing."""
    holder = holder_id(up.public).hex()
    before = {k.holder: k for k in items(c, AskedKey, site)}
    owner = owner_of(c, holder)
    if holder in before or (owner is not None and owner.account == up.account):
        return
    refused = ""
    if not is_signed(up.public, up.proof, PROOF_HOLD + up.account.encode()):
        refused = BAD_PROOF
    elif up.account not in people_at(c, site):
        refused = NO_ROLE
    elif owner is not None:
        refused = TAKEN
    mine = sorted((k for k in before.values() if k.account == up.account), key=lambda k: k.asked_ns)
    for old in mine[: max(0, len(mine) - MOST + 1)]:
        remove(c, AskedKey, site, old.holder)
    asked = AskedKey(holder, site, up.account, up.public, up.proof, gateway, now_ns, refused)
    put(c, site, holder, asked, gateway, now_ns)


def phones(c: Connection, site: str, account: str) -> dict[str, str]:
    """Of one person: holder id -> `confirmed`, `revoked`, `waiting`, or why it was refused."""
    asked = [k for k in items(c, AskedKey, site) if k.account == account]
    own = keys_of(c, account, revoked_too=True)
    return {k.holder: k.refused or WAITING for k in asked} | {
        k.holder: REVOKED if k.revoked_ns else CONFIRMED for k in own
    }


class AskedKeys:
    """All of one state database, for whoever confirms."""

    def __init__(self, engine: Engine, clock: Clock, ledger: Ledger, holders: Holders) -> None:
        self._engine, self._clock, self._ledger, self._holders = engine, clock, ledger, holders

    def waiting(self, may: Callable[[AskedKey], bool] = lambda _: True) -> list[AskedKey]:
        """Those that wait, oldest first."""
        with read(self._engine) as c:
            found = [k for k in items(c, AskedKey) if not k.refused and may(k)]
        return sorted(found, key=lambda k: k.asked_ns)

    def get(self, site: str, holder: str) -> AskedKey:
        """One of them.

        Raises:
            NotFoundError: there is none.
        """
        return self._ledger.get(AskedKey, site, holder)

    def confirm(self, site: str, holder: str) -> HolderKey:
        """It is that person's phone from now on.

        Raises:
            NotFoundError: there is none.
            LockKeyError: it was refused, or is somebody's by now.
        """
        asked = self.get(site, holder)
        if asked.refused:
            raise LockKeyError(LockKeyReason.BAD_KEY, f"it was refused: {asked.refused}")
        made = self._holders.register(asked.account, asked.public, asked.proof, asked.gateway)
        self._ledger.remove(AskedKey, site, holder)
        return made

    def refuse(self, site: str, holder: str, why: str, by: str) -> AskedKey:
        """It never will be; its phone is told why.

        Raises:
            NotFoundError: there is none.
        """
        refused = msgspec.structs.replace(self.get(site, holder), refused=why)
        self._ledger.put(site, holder, refused, by)
        return refused
