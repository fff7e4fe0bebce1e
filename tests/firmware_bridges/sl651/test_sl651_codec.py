"""SL 651: what is encoded is decoded, streams survive anything, parts come together in bounds."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.parts import Limits, Parts
from firmware_bridges.sl651.body import element, elements, level_array, parse, rain_array, report
from firmware_bridges.sl651.examples import examples
from firmware_bridges.sl651.frames import decode_frame
from firmware_bridges.sl651.samples import Plan, standard
from firmware_bridges.sl651.splitter import Splitter
from tocsin.contract import catalogue
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk import DeviceSpec

ZONE = datetime.fromisoformat("2026-01-01T00:00:00+08:00").tzinfo
SPAN = datetime.fromisoformat("2001-01-01"), datetime.fromisoformat("2098-01-01")
FRAMES = [given.data for given in examples().frames]


@given(st.integers(-999_999, 9_999_999), st.integers(0, 7))
def test_elements_come_back(digits: int, decimals: int) -> None:
    value = digits / 10**decimals
    (one,) = elements(element("39", value, 4, decimals))
    assert (one["value"], one["decimals"]) == (value, decimals)
    assert elements(element("FF92", None, 3, 1)) == [
        {"id": "FF92", "decimals": 1, "hex": "ffffff", "value": None}
    ]


def test_the_ascii_form_is_told_as_such() -> None:
    with pytest.raises(CodecError) as refused:
        decode_frame(b"\x01010012345678123432002B\x02")
    assert refused.value.reason is CodecReason.UNSUPPORTED


@pytest.mark.parametrize("value", [1000.0, -10.0])
def test_a_value_that_does_not_fit_is_refused(value: float) -> None:
    with pytest.raises(CodecError):
        element("26", value, 2, 1) if value > 0 else element("26", value, 1, 1)


@given(
    st.lists(st.none() | st.integers(0, 254).map(lambda n: n / 10), min_size=12, max_size=12),
    st.lists(st.none() | st.integers(0, 65534).map(lambda n: n / 100), min_size=12, max_size=12),
)
def test_arrays_come_back(rain: list[float | None], levels: list[float | None]) -> None:
    told = elements(rain_array(rain) + level_array("F6", levels))
    assert told == [{"id": "F4", "rain_5min_mm": rain}, {"id": "F6", "level_5min_m": levels}]


@given(st.binary(max_size=600), st.datetimes(*SPAN))
def test_whatever_a_report_holds_becomes_rows_or_extras(told: bytes, at: datetime) -> None:
    plan = Plan({c: e for c, e in standard()[1].items() if c in ("10", "F6")})
    spec = DeviceSpec("river-01", "water", plan.channels)
    body = parse(report(1, at, "0012345678", 0x48, at - timedelta(minutes=55), told))
    rows = plan.rows(spec, body, 0, ZONE)  # type: ignore[arg-type]
    assert bool(rows) is bool(
        body.elements and any(e["id"] not in ("04", "F3") for e in body.elements)
    )
    assert all(len(row.values) == len(plan.channels) for row in rows)


@given(st.lists(st.sampled_from(FRAMES) | st.binary(max_size=40), max_size=6), st.integers(1, 50))
def test_frames_are_found_in_any_stream_of_any_pieces(runs: list[bytes], size: int) -> None:
    stream = b"".join(runs)
    splitter = Splitter()
    found: list[bytes] = []
    for at in range(0, len(stream), size):
        found += [i[1] for i in splitter.feed(stream[at : at + size]) if isinstance(i, tuple)]
    found += [i[1] for i in splitter.silence() if isinstance(i, tuple)]
    assert not splitter.pending
    assert sum(map(len, found)) + splitter.counts["junk_bytes"] == len(stream)
    wanted = [run for run in runs if run in FRAMES]
    assert [f for f in found if f in wanted] == wanted


def test_every_element_names_a_quantity_and_the_common_ones_are_in_the_catalogue() -> None:
    always, named = standard()
    assert all(catalogue.is_identifier(e.quantity) for e in (*always.values(), *named.values()))
    for element_ in always.values():
        found = catalogue.find("water", element_.quantity)
        assert found is not None
        assert found.unit == element_.unit
    quantities = [e.quantity for e in (*always.values(), *named.values())]
    assert len(set(quantities)) == len(quantities)
    assert not always.keys() & named.keys()


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9), st.binary(max_size=99)),
        max_size=60,
    )
)
def test_parts_stay_within_their_bounds(feed: list[tuple[int, int, int, bytes]]) -> None:
    parts = Parts(Limits(parts=8, messages=2, bytes_total=300, wait_s=1.0, asks=1))
    taken = 0
    for now, (key, total, index, data) in enumerate(feed):
        whole = parts.feed(key, total, index, data, now)
        taken += total if whole is not None else 0
        assert len(parts._sets) <= 2
        assert sum(one.size for one in parts._sets.values()) <= 300
    asked = parts.missing(10**10)
    assert all(missing.parts for missing in asked)
    assert parts.missing(2 * 10**10) == []
    assert not parts._sets
