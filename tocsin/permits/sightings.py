"""Who was told to be inside, and what of it the writer of a later entry did not know. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tocsin.permits.facts import Counted, Entered, Exited
from tocsin.permits.journal import Entry, entry_hash


class Sightings:
    """Goes through a whole journal in the order of `merge`: ask `unknown_to` an entry, fold it, then `take` it."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._said: dict[str, list[Entry]] = {}  # of everybody inside: entries that say so
        self._known: dict[tuple[str, int], dict[str, int]] = {}  # made when it is first asked for

    def unknown_to(self, entry: Entry) -> frozenset[str]:
        """Whom an exit or a roll call would take out although its writer did not know that they had come in.

        A roll call is one look at everybody: it also clashes with another side's that it did not know.
        """
        match entry.fact:
            case Exited(person):
                came = [e for e in self._said.get(person, ()) if isinstance(e.fact, Entered)]
                return frozenset() if self._knew(entry, came) else frozenset({person})
            case Counted(inside):
                left_out = self._said.keys() - set(inside)
                return frozenset(p for p in left_out if not self._knew(entry, self._said[p]))
        return frozenset()

    def take(self, entry: Entry, inside: Collection[str]) -> None:
        """An entry, and who is inside after it."""
        said = entry.fact
        seen: Collection[str] = ()
        if isinstance(said, Entered):
            seen = (said.person,)
        elif isinstance(said, Counted):
            seen = said.inside
        elif not isinstance(said, Exited):
            return
        self._said = {p: e for p, e in self._said.items() if p in inside}
        for person in seen:
            self._said.setdefault(person, []).append(entry)

    def _knew(self, writer: Entry, others: Sequence[Entry]) -> bool:
        foreign = [e for e in others if e.source != writer.source]
        if not foreign:
            return True
        if not self._known:
            self._known = _knowledge(self._entries)
        known = self._known[writer.source, writer.seq]
        return all(known.get(e.source, 0) >= e.seq for e in foreign)


def _knowledge(entries: Sequence[Entry]) -> dict[tuple[str, int], dict[str, int]]:
    """Of every entry the newest number of each source that its writer knew; chains have no gaps."""
    by_hash: dict[str, dict[str, int]] = {}
    found = {}
    for entry in entries:
        known: dict[str, int] = {}
        for cause in (entry.prev, *entry.seen):
            for source, seq in by_hash.get(cause, {}).items():
                known[source] = max(known.get(source, 0), seq)
        known[entry.source] = entry.seq
        found[entry.source, entry.seq] = by_hash[entry_hash(entry)] = known
    return found
