"""Journals for tests: entries that follow one another."""

from __future__ import annotations

from tocsin.permits.facts import Fact, Moved
from tocsin.permits.journal import CLOUD, START, Entry, entry_hash
from tocsin.permits.names import Action, Role, State, TimeQuality


class Writer:
    """One place that writes: its chain, and what it has seen of others."""

    def __init__(self, source: str = CLOUD, permit: str = "P1") -> None:
        self.source, self.permit = source, permit
        self.entries: list[Entry] = []
        self._seen: dict[str, str] = {}

    def see(self, other: Writer) -> None:
        """Know the newest entry of `other`."""
        if other.entries:
            self._seen[other.source] = entry_hash(other.entries[-1])

    def write(self, fact: Fact, at_ns: int, action: Action = Action.LOCK) -> Entry:
        """One more entry."""
        prev = entry_hash(self.entries[-1]) if self.entries else START
        entry = Entry(
            permit=self.permit,
            source=self.source,
            seq=len(self.entries) + 1,
            at_ns=at_ns,
            quality=TimeQuality.SYNCED,
            actor="wang",
            role=Role.ATTENDANT,
            action=action,
            reason="",
            rules="r1",
            prev=prev,
            seen=tuple(sorted(self._seen.values())),
            fact=fact,
        )
        self.entries.append(entry)
        return entry


def moved(source: State, target: State) -> Moved:
    """A transition."""
    return Moved(source, target)
