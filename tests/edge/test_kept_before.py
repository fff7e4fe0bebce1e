"""What was kept before a restart is known again by its device, its own time and its values; nothing else is."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge.kept_before import KeptBefore
from tocsin.contract.codec import encode
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.messages import VERSION, Batch

STREAM = "01HF7YAT00TE1EMETRY0000000"
T0 = 1_764_000_000_000_000_000
LAYOUT = Layout("truck-1", "vehicle", ("lat", "speed"), "ff")

values = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
rows = st.builds(
    lambda offset, source, pair: Row(LAYOUT, T0 + offset, pair, None, source and T0 + source),
    st.integers(0, 10**12),
    st.one_of(st.none(), st.integers(-(10**12), 10**12)),
    st.tuples(values, values),
)


def _sealed(kept: list[Row]) -> bytes:
    t0, unit, groups = group_rows(kept)
    return encode(Batch(VERSION, "east", "gw-1", STREAM, 0, t0, groups, unit))


@given(st.lists(rows, min_size=1, max_size=20), rows)
def test_exactly_what_was_kept_with_a_time_of_its_own_is_known(kept: list[Row], other: Row) -> None:
    before = KeptBefore([_sealed(kept)])
    known = {(r.source_ns, str(r.values)) for r in kept if r.source_ns is not None}
    for row in (*kept, other):
        assert before.holds(row) is ((row.source_ns, str(row.values)) in known)


def test_values_that_python_hashes_alike_are_told_apart() -> None:
    before = KeptBefore([_sealed([Row(LAYOUT, T0, (-1.0, 2.0), None, T0)])])
    assert before.holds(Row(LAYOUT, T0, (-1.0, 2.0), None, T0))
    assert not before.holds(Row(LAYOUT, T0, (-2.0, 2.0), None, T0))


def test_another_device_or_other_quantities_are_not_known() -> None:
    row = Row(LAYOUT, T0, (1.0, 2.0), None, T0)
    before = KeptBefore([_sealed([row])])
    assert before.holds(row)
    assert before.holds(msgspec.structs.replace(row, time_ns=T0 + 5))
    for layout in (
        msgspec.structs.replace(LAYOUT, device="truck-2"),
        msgspec.structs.replace(LAYOUT, quantities=("lon", "speed")),
    ):
        assert not before.holds(msgspec.structs.replace(row, layout=layout))


def test_a_new_outbox_knows_nothing() -> None:
    assert not KeptBefore().holds(Row(LAYOUT, T0, (1.0, 2.0), None, T0))
