"""Grants that were issued, as the web process reads them: what a phone shows to a lock."""

from __future__ import annotations

from sqlalchemy import Engine

from cloud.db import read
from cloud.permits.granting import Granted, grants_of
from cloud.permits.locks import Locks


class Issued:
    """All of one state database; the spine writes them."""

    def __init__(self, engine: Engine, locks: Locks) -> None:
        self._engine, self._locks = engine, locks

    def live(
        self, permit: str, site: str, device: str, account: str, holder: str, now_ns: int
    ) -> Granted | None:
        """The grant of a permit that lasts longest, of those the newest, for a phone of a person at a lock, rescue grants apart; `holder` in hex."""
        with read(self._engine) as c:
            lock = self._locks.at(c, site, device)
            found = [
                g
                for g in grants_of(c, permit)
                if lock is not None
                and (g.lock, g.account, g.holder) == (lock.lock, account, holder)
                and g.is_live(now_ns)
                and not g.rescue
            ]
        return max(reversed(found), key=lambda g: g.exp_ns, default=None)
