"""Entries for what was accepted, at the end of one source's chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tocsin.permits.facts import Fact
from tocsin.permits.journal import START, Entry, entry_hash, heads
from tocsin.permits.names import TimeQuality
from tocsin.permits.requests import Request


def written(
    permit: str,
    journal: Iterable[Entry],
    source: str,
    request: Request,
    facts: Sequence[Fact],
    at_ns: int,
    quality: TimeQuality,
    rules: str,
) -> list[Entry]:
    """One entry for each fact, after everything in `journal`, which is all that `source` knows of the permit."""
    newest = heads(journal)
    mine = newest.pop(source, None)
    seq, prev = (mine.seq, entry_hash(mine)) if mine else (0, START)
    seen = tuple(sorted(entry_hash(entry) for entry in newest.values()))
    entries = []
    for fact in facts:
        seq += 1
        entry = Entry(
            permit=permit,
            source=source,
            seq=seq,
            at_ns=at_ns,
            quality=quality,
            actor=request.actor,
            role=request.role,
            action=request.action,
            reason=request.reason,
            rules=rules,
            prev=prev,
            seen=seen,
            fact=fact,
        )
        entries.append(entry)
        prev = entry_hash(entry)
    return entries
