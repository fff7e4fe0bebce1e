"""Rows in other systems' forms, read back by decoders of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.query.line_protocol import Point, parse
from edge.outlets.forms import Origin, line_protocol, points, senml, thingsboard_json, told
from edge.outlets.waiting import Waiting
from firmware_bridges.mqtt import thingsboard
from firmware_bridges.senml.reports import reports
from tocsin.contract.columns import Layout, Row
from tocsin.contract.quality import Quality

HERE = Origin("plant", "gw-1")
LAYOUT = Layout("gas-1", "gas", ("h2s", "status", "ok", "note", "pressure"), "fibsf")
UNITS = ("[ppm]", "1", "1", "1", "kPa")
T_NS = 1_764_000_000_123_456_000

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
value = st.tuples(
    st.none() | st.floats(-1e9, 1e9),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.booleans(),
    st.none() | text,
    st.none() | st.floats(0, 1e4),
)
quality = st.none() | st.tuples(*[st.sampled_from([0, 3, int(Quality.RANGE)])] * 5)
row = st.builds(
    Row,
    st.just(LAYOUT),
    st.integers(10**18, 2 * 10**18).map(lambda t: t // 1000 * 1000),
    value,
    quality,
)


def cells(of: Row) -> dict[str, object]:
    """What a row says, with `_q` where a value is not good."""
    found: dict[str, object] = {}
    marks = of.quality or (0,) * 5
    for name, item, mark in zip(LAYOUT.quantities, of.values, marks, strict=True):
        if item is not None:
            found[name] = item
        if mark:
            found[f"{name}_q"] = mark
    return found


def _plain(point: Point) -> dict[str, object]:
    return {name: value for name, (_, value) in point.fields.items()}


@given(st.lists(row, max_size=5))
def test_line_protocol_is_read_by_the_cloud_s_own_parser(rows: list[Row]) -> None:
    found, bad = parse(line_protocol(rows, HERE).decode())
    assert not bad
    wanted = [r for r in rows if cells(r)]
    assert [p.time_ns for p in found] == [r.time_ns for r in wanted]
    assert [p.measurement for p in found] == ["gas"] * len(wanted)
    assert [dict(p.tags) for p in found] == [{"site": "plant", "device": "gas-1"}] * len(wanted)
    assert [_plain(p) for p in found] == [cells(r) for r in wanted]


def test_names_are_escaped_where_line_protocol_wants_it() -> None:
    odd = Row(Layout("a b,c=d", "gas", ("note",), "s"), T_NS, ('say "\\hi"',))
    told_line = line_protocol([odd], HERE).decode()
    assert told_line == f'gas,device=a\\ b\\,c\\=d,site=plant note="say \\"\\\\hi\\"" {T_NS}\n'


@given(st.lists(row, min_size=1, max_size=5))
def test_thingsboard_telemetry_comes_back_to_the_millisecond(rows: list[Row]) -> None:
    wanted = [(r.time_ns // 10**6 * 10**6, cells(r)) for r in rows if cells(r)]
    found = thingsboard.reports(thingsboard_json(rows))
    assert [(r.time_ns, r.values) for r in found] == wanted
    assert {r.source for r in found} <= {"gas-1"}


@pytest.mark.parametrize("cbor", [True, False])
def test_senml_comes_back_with_its_units_and_without_what_is_bad(cbor: bool) -> None:
    first = Row(LAYOUT, T_NS, (1.5, 7, True, "a", 101.3))
    second = Row(LAYOUT, T_NS + 10**9, (2.5, None, None, None, 1.0), (65, 0, 0, 0, 3))
    stranger = Row(Layout("gone", "gas", ("h2s",), "f"), T_NS, (1.0,))
    pack = senml(
        [first, second, stranger], HERE, lambda x: UNITS if x is LAYOUT else None, cbor=cbor
    )
    one, two = reports(pack, 0)
    assert one.source == "plant:gw-1:gas-1"
    assert one.values == {
        "h2s": 1.5,
        "status": 7,
        "ok": True,
        "note": "a",
        "pressure": pytest.approx(101_300),
    }
    assert one.units["h2s"] == "[ppm]"
    assert one.units["pressure"] == "Pa"
    assert two.values == {"pressure": pytest.approx(1000)}
    assert one.time_ns is not None
    assert abs(one.time_ns - T_NS) <= 1000
    assert two.time_ns is not None
    assert two.time_ns - one.time_ns == pytest.approx(10**9, abs=2000)


def test_sparkplug_points_carry_unit_and_badness() -> None:
    assert [(p.name, p.unit, p.type) for p in points(LAYOUT, UNITS)][:2] == [
        ("h2s", "[ppm]", "f"),
        ("status", "1", "i"),
    ]
    found = told(Row(LAYOUT, T_NS, (1.5, 7, True, "a", 1.0), (65, 3, 0, 0, 0)))
    assert found.bad == (True, False, False, False, False)
    assert found.time_ms == T_NS // 10**6


async def test_a_full_queue_loses_its_oldest_and_counts_them() -> None:
    waiting = Waiting(3)
    rows = [Row(LAYOUT, n, (1.0, 1, True, "", 1.0)) for n in range(6)]
    for r in rows[:5]:
        waiting.put(r)
    assert waiting.dropped == 2
    taken = await waiting.take(2)
    assert taken == rows[2:4]
    waiting.put(rows[5])
    waiting.give_back(taken)  # room for one
    assert waiting.dropped == 3
    assert await waiting.take(9) == [rows[3], rows[4], rows[5]]
