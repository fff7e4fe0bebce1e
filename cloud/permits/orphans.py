"""Pictures that no entry of any permit names: dropped once they have waited long enough for their form."""

from __future__ import annotations

import logging
import re

from sqlalchemy import Engine, delete, func, select

from cloud.db import read, write
from cloud.permits.photos import DAY_NS, Photos
from cloud.permits.tables import permit_entries, permit_photos, permits
from tocsin.sdk import Clock

WAITS_NS = 2 * DAY_NS
AT_ONCE = 50  # permits looked through in one look
_HASH = re.compile(rb"[0-9a-f]{64}")
_log = logging.getLogger("cloud.permits")
Named = set[tuple[str, str]]  # (site, SHA-256)


class Orphans:
    """Goes through every journal a few permits at a look, and begins anew a day later."""

    def __init__(self, engine: Engine, clock: Clock, photos: Photos) -> None:
        self._engine, self._clock, self._photos = engine, clock, photos
        self._began_ns: int | None = None
        self._over_ns: int | None = None
        self._after = ""  # the newest permit looked through
        self._left: Named = set()  # what nobody has named so far

    def look(self) -> None:
        """One step. What is named anywhere, in whatever entry, stays."""
        now_ns = self._clock.now_ns()
        if self._began_ns is None:
            if self._over_ns is not None and now_ns - self._over_ns < DAY_NS:
                return
            self._began_ns, self._after = now_ns, ""
            self._left = self._old(now_ns - WAITS_NS)
        if self._left and self._step():
            return
        self._drop(self._began_ns)
        self._began_ns, self._over_ns, self._left = None, now_ns, set()

    def _old(self, until_ns: int) -> Named:
        at = permit_photos.c
        with read(self._engine) as c:
            rows = c.execute(select(at.site, at.sha256).where(at.received_ns <= until_ns))
            return {(site, sha256) for site, sha256 in rows}

    def _step(self) -> bool:
        """Whether there are more permits."""
        with read(self._engine) as c:
            query = select(permits.c.id, permits.c.site).where(permits.c.id > self._after)
            found = c.execute(query.order_by(permits.c.id).limit(AT_ONCE)).all()
            for permit, site in found:
                mine = select(permit_entries.c.body).where(permit_entries.c.permit == permit)
                for body in c.scalars(mine):
                    self._left -= _named(site, body)
                self._after = permit
        return len(found) == AT_ONCE

    def _drop(self, began_ns: int) -> None:
        """All that is left, but for what was named, or sent again, since the round began."""
        if not self._left:
            return
        at, since = permit_photos.c, permit_entries.c.received_ns >= began_ns
        query = select(permits.c.site, permit_entries.c.body).join(
            permits, permits.c.id == permit_entries.c.permit
        )
        with write(self._engine) as c:
            for site, body in c.execute(query.where(since)):
                self._left -= _named(site, body)
            for site, sha256 in sorted(self._left):
                old = (at.sha256 == sha256, at.site == site, at.received_ns <= began_ns - WAITS_NS)
                gone = c.execute(delete(permit_photos).where(*old)).rowcount
                same = select(func.count()).select_from(permit_photos).where(at.sha256 == sha256)
                if gone and not c.scalar(same):
                    self._photos.forget(sha256)
        _log.info("%d pictures that no permit names were dropped", len(self._left))


def _named(site: str, body: bytes) -> Named:
    return {(site, found.decode()) for found in _HASH.findall(bytes(body))}
