"""Line protocol as influxdb-client writes it, and everything else as the language says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client.client.write.point import Point as ClientPoint
from influxdb_client.domain.write_precision import WritePrecision

from cloud.query.line_protocol import known_precision, parse

# the client writes "\n" in a name as the two characters \ and n, and a name ending in \ cannot be written at all
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\\"),
    min_size=1,
    max_size=12,
).filter(lambda s: not s.isspace() and not s.startswith(("#", " ")))
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30),
)


_client_point: Any = ClientPoint  # the client carries no types


@given(
    names,
    st.dictionaries(names, names, max_size=4),
    st.dictionaries(names, values, min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(-(2**62), 2**62)),
)
def test_what_influxdb_client_writes_is_read_back(
    measurement: str, tags: dict[str, str], fields: dict[str, object], time_ns: int | None
) -> None:
    point: Any = _client_point(measurement)
    for key, value in tags.items():
        point.tag(key, value)
    for key, field in fields.items():
        point.field(key, field)
    if time_ns is not None:
        point.time(time_ns, WritePrecision.NS)
    parsed, bad = parse(point.to_line_protocol())
    assert bad == []
    (read,) = parsed
    assert read.measurement == measurement
    assert dict(read.tags) == tags
    assert {k: v for k, (_, v) in read.fields.items()} == fields
    assert read.time_ns == time_ns


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_by_line(body: str) -> None:
    points, bad = parse(body)
    lines = body.count("\n") + 1
    numbers = [p.line for p in points] + [b.line for b in bad]
    assert all(1 <= number <= lines for number in numbers)


@given(
    st.lists(
        st.sampled_from(["m f=1 1", "m f=", "# c", "", "x y", 'm s="a\nb" 2', "m f=1i,g=t"]),
        max_size=8,
    )
)
def test_good_and_bad_lines_are_told_apart(lines: list[str]) -> None:
    points, bad = parse("\n".join(lines))
    assert len(points) == sum(line.startswith(("m f=1", "m s")) for line in lines)
    assert len(bad) == sum(line in ("m f=", "x y") for line in lines)


def test_a_bad_line_is_named_by_its_number() -> None:
    body = '# comment\nm f=1 1\n\nm,t f=1 2\nm s="a\nb" 3\nm f=abc 4\r\nm f=2 5\r\n'
    points, bad = parse(body)
    assert [(p.line, p.time_ns) for p in points] == [(2, 1), (5, 3), (8, 5)]
    assert [(b.line, b.reason) for b in bad] == [
        (4, "tag 't' has no value"),
        (7, "invalid value of field 'f': abc"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",t=1 f=1", "missing measurement"),
        ("m", "missing fields"),
        ("m ", "missing field key"),
        ("m f", "field 'f' has no value"),
        ("m,t= f=1", "missing value of tag 't'"),
        ("m,t=1,t=2 f=1", "tag 't' appears twice"),
        ('m s="abc', "unterminated string of field 's'"),
        ("m f=1 12x", "bad timestamp"),
        ("m f=1 1 1", "bad timestamp"),
        ("m i=9223372036854775808i", "out of range"),
        ("m u=-1u", "out of range"),
        ("m f=nan", "invalid value"),
        ("m f=1e999", "invalid value"),
        ("m f=0x10", "invalid value"),
        ("m f=1 9223372036854775808", "timestamp out of range"),
    ],
)
def test_each_mistake_has_its_reason(line: str, reason: str) -> None:
    points, (bad,) = parse(line)
    assert points == []
    assert reason in bad.reason


def test_booleans_integers_and_escapes_are_read() -> None:
    (point,), _ = parse(
        r'a\ b\,c,t\=k=v\,\ \= f\ 1=T,g=FALSE,h=-5i,i=7u,j=.5,k=-1.e3,l="\"\\ \n" -1'
    )
    assert point.measurement == "a b,c"
    assert point.tags == (("t=k", "v, ="),)
    assert point.fields == {
        "f 1": ("b", True),
        "g": ("b", False),
        "h": ("i", -5),
        "i": ("u", 7),
        "j": ("f", 0.5),
        "k": ("f", -1000.0),
        "l": ("s", '"\\ \\n'),
    }
    assert point.time_ns == -1


NOW = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("precision", "stamp", "time_ns"),
    [
        ("ns", NOW * 10**9, NOW * 10**9),
        ("us", NOW * 10**6, NOW * 10**9),
        ("ms", NOW * 10**3, NOW * 10**9),
        ("s", NOW, NOW * 10**9),
        ("second", NOW, NOW * 10**9),
        ("h", 1, 3600 * 10**9),
        ("auto", NOW, NOW * 10**9),
        ("auto", NOW * 10**3, NOW * 10**9),
        ("auto", NOW * 10**6, NOW * 10**9),
        ("auto", NOW * 10**9, NOW * 10**9),
    ],
)
def test_stamps_are_read_in_their_precision(precision: str, stamp: int, time_ns: int) -> None:
    assert known_precision(precision)
    (point,), _ = parse(f"m f=1 {stamp}", precision)
    assert point.time_ns == time_ns
