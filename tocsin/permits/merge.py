"""Two journals of one permit, written apart, as one order that both sides find alike."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.permits.facts import Moved
from tocsin.permits.journal import START, Entry, entry_hash
from tocsin.permits.names import State, TimeQuality

_TOWARDS_SAFETY = frozenset({State.SUSPENDED, State.EMERGENCY, State.EXPIRED, State.REVOKED})


def merge(entries: Iterable[Entry]) -> list[Entry]:
    """Every entry after those it names as `prev` and `seen`; where none names the other: suspension last, so that it holds.

    A suspension that a resumption did not know goes after it, even where both followed another suspension. Among the rest an
    earlier time goes first, a trusted one before one that is not, then source and number. An entry whose causes are not there
    yet waits at the end, in the order of its source.
    """
    by_hash = {entry_hash(entry): entry for entry in entries}
    causes = {h: {c for c in (e.prev, *e.seen) if c != START} for h, e in by_hash.items()}
    waiting = dict(causes)
    known_to = {h: _before(h, causes) for h, e in by_hash.items() if _target(e) is State.ACTIVE}
    done: set[str] = set()
    ordered: list[Entry] = []
    while waiting:
        ready = [h for h, wants in waiting.items() if wants <= done]
        if not ready:
            rest = sorted((by_hash[h] for h in waiting), key=lambda e: (e.source, e.seq))
            return ordered + rest
        known = set().union(*known_to.values())
        first = min(ready, key=lambda h: (_holds(by_hash[h]) and h not in known, _rank(by_hash[h])))
        ordered.append(by_hash[first])
        done.add(first)
        del waiting[first]
        known_to.pop(first, None)
    return ordered


def _before(entry: str, causes: dict[str, set[str]]) -> set[str]:
    """Every entry that the writer of `entry` knew of."""
    found: set[str] = set()
    look = [entry]
    while look:
        for cause in causes.get(look.pop(), ()):
            if cause not in found:
                found.add(cause)
                look.append(cause)
    return found


def _target(entry: Entry) -> State | None:
    return entry.fact.target if isinstance(entry.fact, Moved) else None


def _holds(entry: Entry) -> bool:
    return _target(entry) in _TOWARDS_SAFETY


def _rank(entry: Entry) -> tuple[bool, int, str, int]:
    return (entry.quality is TimeQuality.UNSET, entry.at_ns, entry.source, entry.seq)
