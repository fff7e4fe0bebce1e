"""The journal of a permit: a chain of entries for each place that writes it, joined by what each had seen of the others.

An entry names the entry of its own source before it (`prev`) and the newest entries of the other sources that its writer knew
(`seen`). So a chain that was changed is found, and two that were written apart can be merged in the order of their causes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from tocsin.permits.facts import Fact
from tocsin.permits.names import Action, Role, TimeQuality

CLOUD = "cloud"
START = "0" * 64  # `prev` of a source's first entry
_encoder = msgspec.json.Encoder(order="deterministic")


def gateway_source(gateway: str) -> str:
    """The source that a gateway writes as."""
    return f"gateway:{gateway}"


class Entry(msgspec.Struct, frozen=True):
    """Who did what, when, in what capacity, by which rules. `seq` counts from 1 within permit and source."""

    permit: str
    source: str
    seq: int
    at_ns: int
    quality: TimeQuality
    actor: str
    role: Role
    action: Action
    reason: str
    rules: str  # version of the rule pack
    prev: str
    seen: tuple[str, ...]
    fact: Fact


def entry_bytes(entry: Entry) -> bytes:
    """The canonical encoding: JSON, fields in the order of the class, nothing between them."""
    return _encoder.encode(entry)


def entry_hash(entry: Entry) -> str:
    """SHA-256 of the canonical encoding, 64 hex digits."""
    return hashlib.sha256(entry_bytes(entry)).hexdigest()


def read_entry(data: bytes) -> Entry:
    """An entry as it was written.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return msgspec.json.decode(data, type=Entry)


class ChainFault(StrEnum):
    """What is wrong with a chain. Stable."""

    GAP = "gap"  # a number is missing
    FORK = "fork"  # two entries with one number
    BROKEN = "broken"  # an entry does not follow the one before it
    UNSEEN = "unseen"  # an entry says it saw what is not there
    FOREIGN = "foreign"  # an entry of another permit


class Fault(msgspec.Struct, frozen=True):
    """Where a chain is wrong."""

    kind: ChainFault
    source: str
    seq: int


def heads(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The newest entry of every source."""
    newest: dict[str, Entry] = {}
    for entry in entries:
        if entry.source not in newest or entry.seq > newest[entry.source].seq:
            newest[entry.source] = entry
    return newest


def faults(entries: Sequence[Entry]) -> list[Fault]:
    """What is wrong with the chains; empty when every entry follows."""
    found: list[Fault] = []
    hashes = {entry_hash(entry) for entry in entries}
    chains: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        if entry.permit != entries[0].permit:
            found.append(Fault(ChainFault.FOREIGN, entry.source, entry.seq))
        chain = chains.setdefault(entry.source, {})
        if entry.seq in chain and chain[entry.seq] != entry:
            found.append(Fault(ChainFault.FORK, entry.source, entry.seq))
        chain[entry.seq] = entry
        if not hashes.issuperset(entry.seen):
            found.append(Fault(ChainFault.UNSEEN, entry.source, entry.seq))
    for source, chain in chains.items():
        prev = START
        for seq in range(1, max(chain) + 1):
            if seq not in chain:
                found.append(Fault(ChainFault.GAP, source, seq))
                break
            if chain[seq].prev != prev:
                found.append(Fault(ChainFault.BROKEN, source, seq))
            prev = entry_hash(chain[seq])
    return found
