"""Which pictures go, and when."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import Engine, delete, func, select, update

from cloud.db import read, write
from cloud.vision.gallery import HERE
from cloud.vision.pictures import DROPPED, VisionRules
from cloud.vision.shelf import Shelf
from cloud.vision.tables import evidence, views
from tocsin.errors import FolderError
from tocsin.sdk import Clock

_DAY_NS = 86_400_000_000_000


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

    def keep(self) -> None:
        """Drop pictures beyond the days and bytes of the rules, the oldest first; what was seen stays written."""
        now_ns = self._clock.now_ns()
        oldest_ns = now_ns - int(self._rules.keep_days * _DAY_NS)
        with read(self._engine) as c:
            here = evidence.c.state == HERE
            used = c.scalar(select(func.sum(evidence.c.size)).where(here)) or 0
            query = select(evidence).where(here).order_by(evidence.c.kept_ns).limit(1000)
            drop = []
            for row in c.execute(query).mappings():
                if row["t_ns"] >= oldest_ns and used <= self._rules.max_bytes:
                    break
                used -= row["size"]
                drop.append((row["sha256"], row["gateway"]))
        for sha256, gateway in drop:
            try:
                self._shelf.drop(sha256)
            except OSError as exc:
                raise FolderError(f"picture {sha256} cannot be dropped: {exc.strerror}") from exc
            mine = (evidence.c.sha256 == sha256) & (evidence.c.gateway == gateway)
            with self._lock, write(self._engine) as c:
                c.execute(update(evidence).where(mine).values(state=DROPPED, kept_ns=None))
                c.execute(delete(views).where(views.c.sha256 == sha256, views.c.t_ns < oldest_ns))
            self.counts["dropped"] += 1
