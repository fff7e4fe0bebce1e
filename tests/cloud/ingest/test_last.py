"""Last values: of stored blocks whatever their order, and of those that somebody may see."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.last import Last, LastValues
from cloud.stores import Block, Column

NAMES = st.sampled_from(["a", "b", "c"])
PLACES = st.tuples(NAMES, NAMES, st.sampled_from(["gas", "water"]))
ROWS = st.lists(st.tuples(PLACES, st.sampled_from(["x", "y"]), st.integers(1, 50)), max_size=30)


def block(place: tuple[str, str, str], quantity: str, time_ns: int) -> Block:
    site, device, measurement = place
    return Block(
        measurement=measurement,
        site=site,
        device=device,
        gateway="gw-1",
        stream="s",
        seq=np.array([0], np.int64),
        time_ns=np.array([time_ns], np.int64),
        columns={quantity: Column("f", np.array([float(time_ns)]))},
    )


@given(
    ROWS,
    st.one_of(st.none(), st.sets(NAMES)),
    st.sampled_from(["", "gas", "water", "none"]),
    st.sampled_from(["", "x", "y", "z"]),
)
def test_the_newest_value_of_each_series_is_told_to_whoever_asks_for_it(
    rows: list[tuple[tuple[str, str, str], str, int]],
    sites: set[str] | None,
    measurement: str,
    quantity: str,
) -> None:
    last = LastValues()
    newest: dict[tuple[tuple[str, str, str], str], int] = {}
    for place, name, time_ns in rows:  # late ones among them
        last.fold([block(place, name, time_ns)], 100)
        newest[place, name] = max(newest.get((place, name), 0), time_ns)
    due = {
        (*place, name, time_ns)
        for (place, name), time_ns in newest.items()
        if (sites is None or place[0] in sites)
        and measurement in ("", place[2])
        and quantity in ("", name)
    }
    told = last.all(sites, measurement, quantity)
    assert {(v.site, v.device, v.measurement, v.quantity, v.time_ns) for v in told} == due
    assert len(told) == len(due)
    assert all(v.value == v.time_ns for v in told)


def empty(place: tuple[str, str, str], quantity: str, time_ns: int) -> Block:
    """A row of a device that does not answer."""
    told = block(place, quantity, time_ns)
    nothing = Column("f", np.array([0.0]), np.array([False]), np.array([66], np.uint8))
    return dataclasses.replace(told, columns={quantity: nothing})


def test_what_is_not_known_any_more_keeps_when_it_was() -> None:
    last, place = LastValues(), ("a", "b", "gas")
    last.fold([empty(place, "x", 5)], 100)
    assert [(v.value, v.time_ns, v.known_ns) for v in last.of(place)] == [(None, 5, 0)]
    last.fold([block(place, "x", 10)], 100)
    assert [(v.value, v.time_ns, v.known_ns) for v in last.of(place)] == [(10, 10, 0)]
    for at in (20, 30):
        last.fold([empty(place, "x", at)], 100)
        assert [(v.value, v.time_ns, v.known_ns) for v in last.of(place)] == [(None, at, 10)]


def test_what_another_ingester_or_the_store_tells_without_a_value_keeps_when_there_was_one() -> (
    None
):
    last, place = LastValues(), ("a", "b", "gas")
    none = Last("a", "gw-1", "b", "gas", "x", "", None, 66, 20, 20)
    last.fold([block(place, "x", 10)], 100)
    last.take([none])
    assert last.of(place) == [msgspec.structs.replace(none, known_ns=10)]
    last.take([told := msgspec.structs.replace(none, time_ns=30, known_ns=15)])
    assert last.of(place) == [told]
    last.put(msgspec.structs.replace(none, time_ns=40))
    assert [v.known_ns for v in last.of(place)] == [15]
