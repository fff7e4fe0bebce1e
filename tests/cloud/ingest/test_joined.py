"""Messages put together tell the store the same as each of them alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.decode import decode
from cloud.ingest.joined import RUN_NS, Joined, plain
from cloud.ingest.refusals import letters_of
from cloud.ingest.stamps import Stored, stamps_of
from cloud.link import Received
from cloud.stores import Block, LedgerEntry, Rejected
from tests.cloud.ingest.test_decode import FUTURE, NOW, STREAM, TELEMETRY, Known, batch, group
from tocsin.contract.codec import encode
from tocsin.contract.messages import Batch, Group

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "f": st.floats(-1e6, 1e6) | st.integers(-5, 5),
    "i": st.integers(-(2**63), 2**63 - 1),
    "b": st.booleans(),
    "s": st.text(max_size=5),
}
ODD = st.sampled_from([None, "text", True, 2**70, 10**400, float("inf"), float("nan"), "x" * 5000])


@st.composite
def groups(draw: st.DrawFn) -> Group:
    n = draw(st.integers(0, 3))
    types = draw(st.sampled_from(["ff", "fi", "bs", "f"]))
    odd = draw(st.integers(0, 9)) == 0
    cells = {code: CELLS[code] | ODD if odd else CELLS[code] | st.none() for code in types}
    columns = [draw(st.lists(cells[code], min_size=n, max_size=n)) for code in types]
    times = draw(st.lists(st.integers(0, 20_000_000), min_size=n, max_size=n))
    changes: dict[str, Any] = {}
    if draw(st.integers(0, 9)) == 0:
        changes = draw(
            st.sampled_from(
                [
                    {"quality": [(0, 0, 3)]},
                    {"source_times": [None] * n},
                    {"raw": {"v0": ("ppb", [1.0] * n)}},
                    {"columns": [[1.0] * (n + 1) for _ in types]},
                    {"device": "no name!"},
                    {"quantities": ("v0",) * len(types)},
                    {"times": [400_000_000] * n},
                    {"times": [-(10**17)] * n},
                ]
            )
        )
    fields = {
        "device": draw(st.sampled_from(["d-1", "d-2"])),
        "measurement": "bench",
        "quantities": tuple(f"v{i}" for i in range(len(types))),
        "types": types,
        "times": times,
        "columns": columns,
    }
    return group(**{**fields, **changes})


@st.composite
def messages(draw: st.DrawFn) -> list[Received]:
    made: list[Received] = []
    seq = draw(st.integers(0, 3))
    for i in range(draw(st.integers(1, 8))):
        members = draw(st.lists(groups(), min_size=1, max_size=3))
        body: Batch = batch(*members, first_seq=seq)
        if not body.rows:
            continue
        try:
            payload = encode(body, "mn")
        except OverflowError:  # only JSON carries such numbers, and only msgpack NaN
            payload = encode(body, "jn")
        made.append(Received(TELEMETRY, payload, NOW + i, 1))
        seq += body.rows + draw(st.sampled_from([0, 0, 0, 2]))
    return made


Rows = dict[tuple[str, int], tuple[int, dict[str, tuple[object, int]]]]


def rows_of(blocks: Iterable[Block]) -> Rows:
    """(device, seq) -> (time, quantity -> (value or None, quality))."""
    found: Rows = {}
    for block in blocks:
        for row, seq in enumerate(block.seq.tolist()):
            cells: dict[str, tuple[object, int]] = {}
            for name, column in block.columns.items():
                there = column.valid is None or bool(column.valid[row])
                value = column.values[row : row + 1].tolist()[0] if there else None
                quality = 0 if column.quality is None else int(column.quality[row])
                cells[name] = (column.type, value), quality
            assert (block.device, seq) not in found
            found[block.device, seq] = int(block.time_ns[row]), cells
    return found


def numbers(entries: Iterable[LedgerEntry | Stored]) -> set[tuple[int, bool]]:
    """Each number, and whether it is settled as rejected."""
    return {(n, getattr(e, "rejected", False)) for e in entries for n in range(e.lo, e.hi)}


@given(messages())
def test_together_they_are_the_same_rows_numbers_and_times(found: list[Received]) -> None:
    alone = [decode(m.topic, m.payload, m.received_ns, Known(), FUTURE) for m in found]
    joined, blocks, stored = Joined(), list[Block](), list[Stored]()
    entries: list[LedgerEntry] = []
    for message, out in zip(found, alone, strict=True):
        got = plain(message, {"gw-1": "plant"}, FUTURE)
        if got is None:
            blocks += out.blocks
            entries += out.ledger
            stored += stamps_of(out, message.received_ns)
            continue
        assert not out.letters
        assert not out.late
        assert joined.add(message, got) == out.counts["readings"]
    made = list(joined.blocks())
    stored += joined.stored()
    entries += joined.entries()
    assert rows_of([*blocks, *(block for block, _, _ in made)]) == rows_of(
        block for out in alone for block in out.blocks
    )
    assert numbers(entries) == numbers(e for out in alone for e in out.ledger)
    each = [s for m, out in zip(found, alone, strict=True) for s in stamps_of(out, m.received_ns)]
    assert numbers(stored) == numbers(each)
    assert min(s.first_ns for s in stored) == min(s.first_ns for s in each) if each else not stored
    assert all(s.last_ns - s.first_ns <= RUN_NS or s in each for s in stored)
    for block, starts, members in made:
        for i, message in enumerate(members):
            end = starts[i + 1] if i + 1 < len(starts) else len(block.seq)
            (own,) = [
                out for m, out in zip(found, alone, strict=True) if m.payload == message.payload
            ]
            assert set(block.seq[starts[i] : end].tolist()) <= {
                n for e in own.ledger for n in range(e.lo, e.hi)
            }


def test_good_messages_of_one_device_become_one_block() -> None:
    joined = Joined()
    for n in range(5):
        body = batch(group(times=[n], columns=[[1.0 * n], [20.9]]), first_seq=n)
        message = Received(TELEMETRY, encode(body), NOW, 1)
        got = plain(message, {"gw-1": "plant"}, FUTURE)
        assert got is not None
        joined.add(message, got)
    ((block, starts, _),) = joined.blocks()
    assert block.columns["h2s"].values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert list(starts) == [0, 1, 2, 3, 4]
    assert joined.entries() == [LedgerEntry("gw-1", STREAM, 0, 5)]


def test_what_the_store_refuses_of_a_block_is_a_letter_of_each_message_in_it() -> None:
    seq = np.array([4, 5, 9, 10, 11], np.int64)
    block = Block("gas", "plant", "gas-01", "gw-1", STREAM, seq, seq, {})
    first, second, third = (Received(TELEMETRY, b"%d" % n, 0, 1) for n in range(3))
    origins = {id(block): ((0, 2, 3), (first, second, third))}

    def letters(*refused: Rejected) -> list[tuple[Received, int, int]]:
        found = letters_of(refused, [block], origins)
        return [(message, letter.lo, letter.hi) for _, message, letter in found]

    whole = [(first, 4, 6), (second, 9, 10), (third, 10, 12)]
    assert letters(Rejected(0, None, "h2s", "why")) == whole
    assert letters(*(Rejected(0, row, None, "why") for row in range(5))) == whole
    assert letters(Rejected(0, 3, None, "why")) == [(third, 10, 11)]
    assert letters(Rejected(0, 1, None, "a"), Rejected(0, 2, None, "a")) == [
        (first, 5, 6),
        (second, 9, 10),
    ]
