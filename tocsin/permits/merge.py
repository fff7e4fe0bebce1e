"""Two journals of one permit, written apart, as one order that both sides find alike."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.permits.facts import Moved
from tocsin.permits.journal import START, Entry, entry_hash
from tocsin.permits.names import State, TimeQuality

_TOWARDS_SAFETY = frozenset({State.SUSPENDED, State.EMERGENCY, State.EXPIRED, State.REVOKED})


def merge(entries: Iterable[Entry]) -> list[Entry]:
    """Every entry after those it names as `prev` and `seen`; where none names the other: suspension last, so that it holds.

    Among the rest an earlier time goes first, a trusted one before one that is not, then source and number. An entry whose
    causes are not there yet waits at the end, in the order of its source.
    """
    by_hash = {entry_hash(entry): entry for entry in entries}
    waiting = {h: {c for c in (e.prev, *e.seen) if c != START} for h, e in by_hash.items()}
    done: set[str] = set()
    ordered: list[Entry] = []
    while waiting:
        ready = [h for h, causes in waiting.items() if causes <= done]
        if not ready:
            rest = sorted((by_hash[h] for h in waiting), key=lambda e: (e.source, e.seq))
            return ordered + rest
        first = min(ready, key=lambda h: _rank(by_hash[h]))
        ordered.append(by_hash[first])
        done.add(first)
        del waiting[first]
    return ordered


def _rank(entry: Entry) -> tuple[bool, bool, int, str, int]:
    fact = entry.fact
    safety = isinstance(fact, Moved) and fact.target in _TOWARDS_SAFETY
    return (safety, entry.quality is TimeQuality.UNSET, entry.at_ns, entry.source, entry.seq)
