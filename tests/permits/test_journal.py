"""Chains that were changed are found; two that were written apart become one order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.permits.journals import Writer, moved
from tocsin.permits.facts import Entered, Exited, Noted
from tocsin.permits.journal import (
    ChainFault,
    Entry,
    entry_bytes,
    entry_hash,
    faults,
    gateway_source,
    read_entry,
)
from tocsin.permits.merge import merge
from tocsin.permits.names import State
from tocsin.permits.permit import permit_of


def chain(n: int = 4) -> list[Entry]:
    writer = Writer()
    for i in range(n):
        writer.write(Noted(f"n{i}"), i)
    return writer.entries


def test_an_entry_is_read_as_it_was_written() -> None:
    for entry in chain():
        assert read_entry(entry_bytes(entry)) == entry
        assert entry_bytes(read_entry(entry_bytes(entry))) == entry_bytes(entry)


def test_a_whole_chain_has_no_fault() -> None:
    assert faults(chain()) == []
    assert faults([]) == []


@pytest.mark.parametrize("field", ["at_ns", "actor", "reason", "rules", "fact"])
def test_a_changed_entry_breaks_the_chain_after_it(field: str) -> None:
    entries = chain()
    other = {"at_ns": 99, "actor": "li", "reason": "x", "rules": "r2", "fact": Noted("y")}[field]
    entries[1] = msgspec.structs.replace(entries[1], **{field: other})
    assert [(f.kind, f.seq) for f in faults(entries)] == [(ChainFault.BROKEN, 3)]


def test_a_missing_entry_a_fork_and_a_foreign_one_are_told() -> None:
    entries = chain()
    assert ChainFault.GAP in {f.kind for f in faults([entries[0], *entries[2:]])}
    fork = msgspec.structs.replace(entries[3], reason="other")
    assert ChainFault.FORK in {f.kind for f in faults([*entries, fork])}
    foreign = msgspec.structs.replace(entries[3], permit="P2")
    assert ChainFault.FOREIGN in {f.kind for f in faults([*entries[:3], foreign])}


def test_what_was_seen_must_be_there() -> None:
    cloud, gateway = Writer(), Writer(gateway_source("gw-1"))
    cloud.write(Noted("a"), 1)
    gateway.see(cloud)
    gateway.write(Noted("b"), 2)
    assert faults([*cloud.entries, *gateway.entries]) == []
    assert [f.kind for f in faults(gateway.entries)] == [ChainFault.UNSEEN]


def both() -> tuple[Writer, Writer]:
    cloud, gateway = Writer(), Writer(gateway_source("gw-1"))
    cloud.write(moved(State.APPROVED, State.ACTIVE), 1)
    gateway.see(cloud)
    return cloud, gateway


def test_a_suspension_and_a_resumption_that_knew_nothing_of_each_other_leave_it_suspended() -> None:
    for late in (5, 50):
        cloud, gateway = both()
        gateway.write(moved(State.ACTIVE, State.SUSPENDED), 5)
        cloud.write(moved(State.SUSPENDED, State.ACTIVE), late)
        merged = merge([*cloud.entries, *gateway.entries])
        assert permit_of("P1", merged).state is State.SUSPENDED


def test_a_resumption_that_knew_of_the_suspension_holds() -> None:
    cloud, gateway = both()
    gateway.write(moved(State.ACTIVE, State.SUSPENDED), 50)
    cloud.see(gateway)
    cloud.write(moved(State.SUSPENDED, State.ACTIVE), 5)  # its clock is behind
    assert permit_of("P1", merge([*cloud.entries, *gateway.entries])).state is State.ACTIVE


@given(st.randoms(use_true_random=False), st.lists(st.sampled_from("cgse"), max_size=25))
def test_the_order_does_not_depend_on_who_merges(rng: object, steps: list[str]) -> None:
    cloud, gateway = both()
    for i, step in enumerate(steps):
        writer = cloud if step in "cs" else gateway
        if step in "se":
            writer.see(gateway if writer is cloud else cloud)
        writer.write(Entered(f"p{i}") if i % 2 else Exited(f"p{i - 1}"), 100 - i)
    entries = [*cloud.entries, *gateway.entries]
    mixed = list(entries)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    merged = merge(mixed)
    assert merged == merge(entries)
    place = {entry_hash(e): i for i, e in enumerate(merged)}
    assert len(place) == len(entries)
    for entry in entries:
        assert all(place[c] < place[entry_hash(entry)] for c in entry.seen)
