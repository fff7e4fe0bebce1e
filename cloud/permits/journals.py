"""Journals of permits as rows: appended, never changed, and looked through for a break every time one is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, insert, select

from cloud.permits.tables import permit_entries
from tocsin.errors import StoreError
from tocsin.permits.journal import (
    START,
    ChainFault,
    Entry,
    Fault,
    entry_bytes,
    entry_hash,
    faults,
    read_entry,
)
from tocsin.permits.merge import merge

_LATER = frozenset({ChainFault.GAP, ChainFault.UNSEEN})  # what a message on its way would mend


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a gateway's entries: those that are news, and what is wrong with the rest."""

    news: list[Entry]
    faults: list[Fault]


def load(c: Connection, permit: str) -> list[Entry]:
    """All entries in the order both sides find.

    Raises:
        StoreError: a row does not have its hash, or a chain is broken: somebody changed the database.
    """
    mine = permit_entries.c.permit == permit
    rows = c.execute(select(permit_entries.c.hash, permit_entries.c.body).where(mine))
    entries = []
    for stored, body in rows:
        entry = _read(bytes(body), permit)
        if entry_hash(entry) != stored:
            raise _changed(permit, entry.source, entry.seq, "its hash is another")
        entries.append(entry)
    if found := faults(entries):
        first = found[0]
        raise _changed(permit, first.source, first.seq, first.kind.value)
    return merge(entries)


def append(c: Connection, entry: Entry, received_ns: int) -> None:
    """One more, for good."""
    c.execute(
        insert(permit_entries).values(
            permit=entry.permit,
            source=entry.source,
            seq=entry.seq,
            hash=entry_hash(entry),
            at_ns=entry.at_ns,
            received_ns=received_ns,
            body=entry_bytes(entry),
        )
    )


def take(known: Sequence[Entry], told: Iterable[Entry], source: str) -> Taken:
    """Which of a gateway's entries follow what is kept; those that do not are named and left out.

    A fork or a broken link is for ever; a gap is mended when the gateway sends what is missing.
    """
    own = {e.seq: e for e in known if e.source == source}
    hashes = {entry_hash(e) for e in known}
    last = own[max(own)] if own else None
    news: list[Entry] = []
    wrong: list[Fault] = []
    for entry in sorted(told, key=lambda e: e.seq):
        fault: ChainFault | None = None
        if entry.source != source or (known and entry.permit != known[0].permit):
            fault = ChainFault.FOREIGN
        elif entry.seq in own:
            fault = None if own[entry.seq] == entry else ChainFault.FORK
            if fault is None:
                continue
        elif entry.seq != (last.seq if last else 0) + 1:
            fault = ChainFault.GAP
        elif entry.prev != (entry_hash(last) if last else START):
            fault = ChainFault.BROKEN
        elif not hashes.issuperset(entry.seen):
            fault = ChainFault.UNSEEN
        if fault is not None:
            wrong.append(Fault(fault, entry.source, entry.seq))
            break
        own[entry.seq] = last = entry
        hashes.add(entry_hash(entry))
        news.append(entry)
    return Taken(news, wrong)


def is_mended_later(fault: Fault) -> bool:
    """Whether entries that are still on their way may mend it."""
    return fault.kind in _LATER


def _read(body: bytes, permit: str) -> Entry:
    try:
        return read_entry(body)
    except msgspec.MsgspecError as exc:
        raise StoreError(f"an entry of permit {permit} cannot be read: {exc}") from exc


def _changed(permit: str, source: str, seq: int, how: str) -> StoreError:
    return StoreError(
        f"the journal of permit {permit} was changed: entry {seq} of {source}: {how}",
        hint="restore the state database from a backup; `tocsin permit export` tells what still holds",
    )
