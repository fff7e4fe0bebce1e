"""HJ 212: streams survive anything, parts are joined wherever they were cut, factors are in the catalogue."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.hj212.examples import examples
from firmware_bridges.hj212.frames import encode_frame
from firmware_bridges.hj212.samples import Factor, Plan, number, standard, time_of
from firmware_bridges.hj212.segment import joined, parameters_of, parse, segment
from firmware_bridges.hj212.splitter import Splitter
from tocsin.contract import catalogue
from tocsin.sdk import DeviceSpec

FRAMES = [given.data.rstrip() for given in examples().frames]
ZONE = datetime.fromisoformat("2026-01-01T00:00:00+08:00").tzinfo
VALUES = b"DataTime=20261124120000;a21026-Rtd=11.5,a21026-Flag=N;a34004-Rtd=35,a34004-Flag=N"


@given(st.lists(st.sampled_from(FRAMES) | st.binary(max_size=40), max_size=6), st.integers(1, 50))
def test_frames_are_found_in_any_stream_of_any_pieces(runs: list[bytes], size: int) -> None:
    stream = b"\r\n".join(runs)
    splitter = Splitter()
    found: list[bytes] = []
    for at in range(0, len(stream), size):
        found += [i[1] for i in splitter.feed(stream[at : at + size]) if isinstance(i, tuple)]
    found += [i[1] for i in splitter.silence() if isinstance(i, tuple)]
    assert not splitter.pending
    wanted = [run for run in runs if run in FRAMES]
    assert [f for f in found if f in wanted] == wanted


@given(st.sets(st.integers(1, len(VALUES) - 1), max_size=4))
def test_parts_are_joined_wherever_they_were_cut(cuts: set[int]) -> None:
    ends = [0, *sorted(cuts), len(VALUES)]
    parts = [VALUES[a:b] for a, b in pairwise(ends)]
    assert joined(parts) == VALUES


def test_parts_without_a_separator_between_them_get_one() -> None:
    assert joined([b"a=1,b-Flag=N", b"c-Rtd=2"]) == b"a=1,b-Flag=N;c-Rtd=2"


@given(
    st.dictionaries(
        st.sampled_from(["QN", "ST", "CN", "MN"]),
        st.text("0123456789ABC", min_size=1, max_size=24),
        min_size=1,
    ),
    st.text("ab=;,-&1", max_size=60),
)
def test_a_segment_comes_back(head: dict[str, str], parameters: str) -> None:
    made = segment(head, parameters)
    assert parse(made).head == head
    assert parameters_of(made) == parameters.encode()


@given(st.binary(max_size=300))
def test_whatever_a_segment_holds_becomes_rows(raw: bytes) -> None:
    plan = Plan("air", {"zz": Factor("own", "1")})
    spec = DeviceSpec("air-01", "air", plan.channels)
    told = parse(b"QN=1;CN=2011;CP=&&DataTime=20261124120000;zz-Rtd=1;" + raw + b"&&")
    rows = plan.rows(spec, told, 0, ZONE)  # type: ignore[arg-type]
    assert rows
    assert all(len(row.values) == len(plan.channels) for row in rows)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.50", 1.5), ("-3", -3.0), ("1e3", 1000.0), ("1e999", None), ("nan", None), ("--", None), ("１", None)],
)  # fmt: skip
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == value


def test_times_of_14_and_17_digits() -> None:
    noon = datetime.fromisoformat("2026-11-24T12:00:00")
    assert time_of("20261124120000") == time_of("20261124120000123") == noon
    assert time_of("20261324120000") is time_of("2026") is None


def test_chinese_text_of_either_encoding_is_read() -> None:
    for coding in ("gb18030", "utf-8"):
        told = parse("CN=3020;CP=&&i1-Info=校准中&&".encode(coding))
        assert told.factors == {"i1": {"Info": "校准中"}}


def test_every_factor_is_a_quantity_of_the_catalogue() -> None:
    for measurement, factors in standard().items():
        for code, factor in factors.items():
            assert catalogue.find(measurement, factor.quantity) is not None, code
        Plan(measurement)


def test_a_frame_with_a_vendors_crc_is_found_and_marked() -> None:
    (item,) = Splitter().feed(encode_frame(b"CN=2011;CP=&&&&", modbus=True)[:-2])
    assert isinstance(item, tuple)
    assert not item[0].crc_ok
