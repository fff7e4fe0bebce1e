"""Opening the file of an outbox; a damaged one is set aside and what is intact in it taken over."""

from __future__ import annotations

import logging
import sqlite3
from itertools import islice
from pathlib import Path

from edge.options import OutboxOptions
from edge.outbox import reserve, salvage
from edge.outbox.database import SUSPECT, refuses
from edge.outbox.markers import MAX_GAPS
from edge.outbox.store import Store
from tocsin.contract.codec import Codec
from tocsin.contract.gaps import Gap, as_data
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxError

_PART = 64
_log = logging.getLogger("edge.outbox")


def open_store(
    directory: Path,
    *,
    site: str,
    gateway: str,
    options: OutboxOptions,
    codec: Codec,
    now_ns: int,
    power_on: str = "",
) -> Store:
    """The store; a new one if the file was damaged, with a note of where that lies now.

    Raises:
        OutboxError: it belongs to another gateway or a newer version, or the disk refuses.
    """

    def create() -> Store:
        return Store(
            directory, site=site, gateway=gateway, options=options, codec=codec, now_ns=now_ns,
            power_on=power_on,
        )  # fmt: skip

    def create_in_time() -> Store:
        """On a full disk not even the log of the database can be made."""
        try:
            store = create()
        except sqlite3.OperationalError as exc:
            if not refuses(exc) or not reserve.give_up(directory):
                raise
            return create()
        reserve.hold(directory)
        return store

    try:
        return create_in_time()
    except sqlite3.DatabaseError as exc:
        if refuses(exc):
            raise OutboxError(
                f"the outbox in {directory} cannot be opened: {exc}",
                hint="are the directory's permissions right, is there room on the disk?",
            ) from exc
        _log.error("the outbox file is damaged: %s", exc)
    try:
        salvage.rename_aside(directory, now_ns)
        (directory / SUSPECT).unlink(missing_ok=True)
        store = create_in_time()
    except (OSError, sqlite3.DatabaseError) as exc:
        text = f"a damaged outbox in {directory} cannot be replaced: {exc}"
        raise OutboxError(text, hint="is there room on the disk?") from exc
    store.memory.lost_commands(now_ns)
    return store


class TakeOver:
    """Takes over what is intact in another file, part by part. Each part is taken once, also when a kill lies between."""

    def __init__(self, store: Store, file: Path, name: str, now_ns: int) -> None:
        self._store, self._file, self._name, self._now_ns = store, file, name, now_ns
        self._found, self._held = salvage.rescue(file), salvage.rescue_held(file)
        self._adopted: dict[str, RangeSet] = {}
        self._chunks = self.rows = 0

    @property
    def streams(self) -> list[str]:
        """Whose chunks were taken over so far."""
        return list(self._adopted)

    def step(self, dropped: list[Gap]) -> bool:
        """The next part, and what had to make room for it; False when there is none."""
        part = list(islice(self._found, _PART))
        if not part:
            return self._step_held(dropped)
        self._store.adopt(part, self._now_ns)
        for chunk in part:
            have = self._adopted.setdefault(chunk.stream, RangeSet())
            have.add(chunk.first_seq, chunk.first_seq + chunk.rows)
            self.rows += chunk.rows
        self._chunks += len(part)
        return True

    def _step_held(self, dropped: list[Gap]) -> bool:
        held = next(self._held, None)
        if held is None:
            return False
        dropped += self._store.adopt_held(held, self._name, self._now_ns)
        self.rows += len(held.rows)
        return True

    def tell(self) -> str:
        """Commit an event about all of it; what it says."""
        lost = salvage.lost(self._file, self._adopted)
        name = salvage.damaged_name(self._file).name
        text = f"the outbox file was damaged; {self.rows} rows rescued, kept as {name}"
        counts = {"chunks": self._chunks, "rows": self.rows, "lost": sum(g.rows for g in lost)}
        data = {"file": name, **as_data(lost[:MAX_GAPS]), **counts}
        self._store.tell_salvaged(self._name, text, data, self._now_ns)
        return text
