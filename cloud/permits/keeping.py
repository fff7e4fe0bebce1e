"""Ended permits: archived with their bundle while the store still has the air, kept as long as the rules say, then forgotten; pictures of none are dropped."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sqlalchemy import Engine, delete

from cloud.db import read, write
from cloud.permits.book import PermitBook
from cloud.permits.exporting import Exporter
from cloud.permits.kept import Kept, ended
from cloud.permits.orphans import Orphans
from cloud.permits.tables import grants, permit_entries, permits
from tocsin.errors import PermitRefusedError, StoreError
from tocsin.permits.names import State
from tocsin.sdk import Clock

GRACE_NS = 3600 * 10**9  # for entries of a gateway that was away
LOOK_NS = 60 * 10**9
_log = logging.getLogger("cloud.permits")


class Keeper:
    """Bundles lie in `folder`, one file each, named like their permit."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        book: PermitBook,
        exporter: Exporter,
        folder: Path,
        orphans: Orphans,
    ) -> None:
        self._engine, self._clock, self._book = engine, clock, book
        self._exporter, self._folder, self._orphans = exporter, folder, orphans
        self._looked_mono: int | None = None
        self._said = ""

    def bundle(self, permit: str) -> bytes:
        """The archived file, or one made now of a permit that is not archived yet.

        Raises:
            NotFoundError: there is no such permit.
            StoreError: its journal was changed by somebody else than Tocsin.
        """
        self._book.row(permit)  # whether there is one, and whole
        try:
            return self._path(permit).read_bytes()
        except FileNotFoundError:
            return self._exporter.bundle(permit)

    def look(self) -> None:
        """Once a minute, however often it is called."""
        mono = self._clock.mono_ns()
        if self._looked_mono is not None and mono - self._looked_mono < LOOK_NS:
            return
        self._looked_mono = mono
        now_ns = self._clock.now_ns()
        with read(self._engine) as c:
            found = ended(c)
        for kept in found:
            try:
                self._keep(kept, now_ns)
            except (StoreError, PermitRefusedError, OSError) as exc:
                told = f"permit {kept.id} cannot be archived: {exc}"
                if told != self._said:
                    _log.error("%s", told)
                self._said = told
        try:
            self._orphans.look()
        except OSError as exc:
            _log.error("pictures that no permit names cannot be dropped: %s", exc)

    def _keep(self, kept: Kept, now_ns: int) -> None:
        if kept.state is not State.ARCHIVED:
            if not kept.live and (kept.ended_ns or now_ns) <= now_ns - GRACE_NS:
                self._book.archive(kept.id)
                self._write(kept.id)
        elif kept.keep_until_ns is not None and kept.keep_until_ns <= now_ns:
            self._forget(kept.id)
        elif not self._path(kept.id).exists():
            self._write(kept.id)

    def _write(self, permit: str) -> None:
        path = self._path(permit)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(self._exporter.bundle(permit))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def _forget(self, permit: str) -> None:
        with write(self._engine) as c:
            c.execute(delete(grants).where(grants.c.permit == permit))
            c.execute(delete(permit_entries).where(permit_entries.c.permit == permit))
            c.execute(delete(permits).where(permits.c.id == permit))
        self._path(permit).unlink(missing_ok=True)
        _log.info("permit %s: kept as long as its rules say, and removed", permit)

    def _path(self, permit: str) -> Path:
        return self._folder / f"{permit}.tar"
