"""Which pictures go, and when."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import (
    ColumnElement,
    Engine,
    RowMapping,
    and_,
    delete,
    func,
    not_,
    or_,
    select,
    update,
)

from cloud.db import read, write
from cloud.vision.gallery import HERE
from cloud.vision.pictures import DROPPED, OFFERED, WANTED, VisionRules
from cloud.vision.shelf import Shelf
from cloud.vision.tables import evidence, views
from tocsin.sdk import Clock

_DAY_NS = 86_400_000_000_000
_CLOCKS_SET_NS = 1_577_836_800_000_000_000  # 2020: earlier is of a clock that was never set
_AT_ONCE = 1000
_AGAIN_NS = 60_000_000_000  # what could not be dropped
_SWEEP_NS = 3_600_000_000_000
_COMING = (OFFERED, WANTED)


class Keeping:
    """By the days and bytes of the rules."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        shelf: Shelf,
        rules: VisionRules,
        *,
        lock: threading.Lock,
        counts: Counter[str],
    ) -> None:
        self._engine, self._clock, self._shelf, self._rules = engine, clock, shelf, rules
        self._lock, self.counts = lock, counts
        self._stuck: dict[str, int] = {}  # hash -> when it could not be dropped, monotonic
        self._swept_mono: int | None = None

    def keep(self) -> None:
        """Drop pictures beyond the days and bytes of the rules, the oldest first; what was seen stays written.

        Raises:
            StoreUnavailableError: the state database takes nothing now.
        """
        now_ns, now_mono = self._clock.now_ns(), self._clock.mono_ns()
        oldest_ns = now_ns - int(self._rules.keep_days * _DAY_NS)
        self._stuck = {k: at for k, at in self._stuck.items() if now_mono - at < _AGAIN_NS}
        for row in self._beyond(oldest_ns):
            if not self._shelf.drop(row["sha256"]):
                self._stuck[row["sha256"]] = now_mono
                self.counts["not_dropped"] += 1
                continue
            mine = and_(evidence.c.sha256 == row["sha256"], evidence.c.gateway == row["gateway"])
            with self._lock, write(self._engine) as c:
                c.execute(update(evidence).where(mine).values(state=DROPPED, kept_ns=None))
            self.counts["dropped"] += 1
        if self._swept_mono is None or now_mono - self._swept_mono >= _SWEEP_NS:
            self._swept_mono = now_mono
            self._sweep(oldest_ns)

    def _beyond(self, oldest_ns: int) -> list[RowMapping]:
        e = evidence.c
        here, old = e.state == HERE, _old(oldest_ns)
        by_age = select(evidence).order_by(e.kept_ns, e.t_ns).limit(_AT_ONCE)
        with read(self._engine) as c:
            used = c.scalar(select(func.sum(e.size)).where(here)) or 0
            used += c.scalar(select(func.sum(e.have)).where(e.state.in_(_COMING))) or 0
            drop = [
                row
                for row in c.execute(by_age.where(here, old)).mappings()
                if row["sha256"] not in self._stuck
            ]
            used -= sum(row["size"] for row in drop)
            if used > self._rules.max_bytes:
                for row in c.execute(by_age.where(here, not_(old))).mappings():
                    if used <= self._rules.max_bytes:
                        break
                    if row["sha256"] not in self._stuck:
                        used -= row["size"]
                        drop.append(row)
        return drop

    def _sweep(self, oldest_ns: int) -> None:
        """Give up what never came, with what is there of it; and forget looks of long ago at pictures that are gone."""
        e = evidence.c
        with self._lock, write(self._engine) as c:
            never = and_(e.state.in_(_COMING), _old(oldest_ns))
            c.execute(update(evidence).where(never).values(state=DROPPED, have=0))
            whole = select(e.sha256).where(e.state == HERE)
            c.execute(delete(views).where(views.c.t_ns < oldest_ns, views.c.sha256.not_in(whole)))
        for sha256, came_ns in self._shelf.drafts().items():
            with self._lock, write(self._engine) as c:
                coming = (e.sha256 == sha256) & e.state.in_(_COMING)
                if came_ns >= oldest_ns and c.execute(select(e.sha256).where(coming)).first():
                    continue
                c.execute(update(evidence).where(coming).values(have=0))
                gone = self._shelf.drop_draft(sha256)
            self.counts["drafts_dropped" if gone else "not_dropped"] += 1


def _old(oldest_ns: int) -> ColumnElement[bool]:
    """By the time it was taken or that it came: either clock may have been wrong, ahead or never set."""
    e = evidence.c
    return or_(e.kept_ns < oldest_ns, and_(e.t_ns < oldest_ns, e.t_ns >= _CLOCKS_SET_NS))
