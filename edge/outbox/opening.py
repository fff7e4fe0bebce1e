"""Opening the file of an outbox; a damaged one is set aside and what is intact in it taken over."""

from __future__ import annotations

import sqlite3
from itertools import islice
from pathlib import Path

from edge.options import OutboxOptions
from edge.outbox import reserve, salvage
from edge.outbox.markers import MAX_GAPS
from edge.outbox.store import Store
from tocsin.contract.codec import Codec
from tocsin.contract.gaps import as_data
from tocsin.contract.ranges import RangeSet
from tocsin.errors import OutboxError

_PART = 64


def open_store(
    directory: Path,
    *,
    site: str,
    gateway: str,
    options: OutboxOptions,
    codec: Codec,
    now_ns: int,
) -> tuple[Store, dict[str, object] | None]:
    """The store, and what was rescued if the file was damaged.

    Raises:
        OutboxError: it belongs to another gateway or a newer version, or the disk refuses.
    """

    def create() -> Store:
        return Store(
            directory, site=site, gateway=gateway, options=options, codec=codec, now_ns=now_ns
        )

    def create_in_time() -> Store:
        """On a full disk not even the log of the database can be made."""
        try:
            store = create()
        except sqlite3.OperationalError:
            if not reserve.give_up(directory):
                raise
            return create()
        reserve.hold(directory)
        return store

    try:
        return create_in_time(), None
    except sqlite3.OperationalError as exc:
        raise OutboxError(
            f"the outbox in {directory} cannot be opened: {exc}",
            hint="are the directory's permissions right, is there room on the disk?",
        ) from exc
    except sqlite3.DatabaseError as exc:
        reason = str(exc)
    aside = salvage.rename_aside(directory, now_ns)
    (directory / "outbox.suspect").unlink(missing_ok=True)
    store = create()
    chunks = rows = 0
    adopted: dict[str, RangeSet] = {}
    found = salvage.rescue(aside)
    while part := list(islice(found, _PART)):
        store.adopt(part, now_ns)
        chunks, rows = chunks + len(part), rows + sum(c.rows for c in part)
        for chunk in part:
            have = adopted.setdefault(chunk.stream, RangeSet())
            have.add(chunk.first_seq, chunk.first_seq + chunk.rows)
    for held in salvage.rescue_held(aside):
        store.append_rows((), now_ns, held.rows, held.power_on)
        rows += len(held.rows)
    store.memory.lost_commands(now_ns)
    lost = salvage.lost(aside, adopted)
    rescued = {"file": aside.name, "reason": reason, "chunks": chunks}
    return store, {
        **rescued,
        **as_data(lost[:MAX_GAPS]),
        "lost": sum(g.rows for g in lost),
        "rows": rows,
    }
