"""Which entries of another source follow what is kept here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tocsin.permits.journal import START, ChainFault, Entry, Fault, entry_hash
from tocsin.permits.merge import merge


def following(
    known: Sequence[Entry], told: Iterable[Entry], permit: str, own: str, have: int = 0
) -> tuple[list[Entry], Fault | None]:
    """Entries that are news and follow, in the order of their causes, up to the first that does not.

    `own` is the source nobody else writes; up to `have` the cloud gives back what it keeps of it, where it was lost here.
    """
    told = list(told)
    if not told:
        return [], None
    new = {entry_hash(e) for e in told}
    hashes = {entry_hash(e) for e in known}
    chains: dict[str, dict[int, Entry]] = {}
    for entry in known:
        chains.setdefault(entry.source, {})[entry.seq] = entry
    news: list[Entry] = []
    for entry in (e for e in merge([*known, *told]) if entry_hash(e) in new):
        chain = chains.setdefault(entry.source, {})
        last = chain[max(chain)] if chain else None
        fault: ChainFault | None = None
        if chain.get(entry.seq) == entry:
            continue
        if entry.permit != permit or (entry.source == own and entry.seq > have):
            fault = ChainFault.FOREIGN
        elif entry.seq in chain:
            fault = ChainFault.FORK
        elif entry.seq != (last.seq if last else 0) + 1:
            fault = ChainFault.GAP
        elif entry.prev != (entry_hash(last) if last else START):
            fault = ChainFault.BROKEN
        elif not hashes.issuperset(entry.seen):
            fault = ChainFault.UNSEEN
        if fault is not None:
            return news, Fault(fault, entry.source, entry.seq)
        chain[entry.seq] = entry
        hashes.add(entry_hash(entry))
        news.append(entry)
    return news, None
