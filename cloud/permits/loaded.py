"""A permit with its row and its journal, as it is read, and as it is after more entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.permits import journals
from cloud.permits.kept import Kept
from tocsin.permits.facts import Fact
from tocsin.permits.journal import CLOUD, Entry
from tocsin.permits.names import TimeQuality
from tocsin.permits.permit import Permit, permit_of
from tocsin.permits.requests import Request
from tocsin.permits.writing import written


@dataclass(frozen=True, slots=True)
class Loaded:
    """One permit at one moment."""

    kept: Kept
    permit: Permit
    entries: list[Entry]

    @property
    def own(self) -> int:
        """The newest number of the cloud's own entries."""
        return max((e.seq for e in self.entries if e.source == CLOUD), default=0)


def loaded(c: Connection, kept: Kept) -> Loaded:
    """With its journal.

    Raises:
        StoreError: it was changed by somebody else than Tocsin.
    """
    entries = journals.load(c, kept.id)
    return Loaded(kept, permit_of(kept.id, entries), entries)


def appended(
    c: Connection, found: Loaded, request: Request, said: Sequence[Fact], now_ns: int
) -> list[Entry]:
    """Its entries and those that these facts make, which are in the journal now."""
    version = found.kept.basis.rules.version
    news = written(
        found.kept.id, found.entries, CLOUD, request, said, now_ns, TimeQuality.SYNCED, version
    )
    for entry in news:
        journals.append(c, entry, now_ns)
    return [*found.entries, *news]
