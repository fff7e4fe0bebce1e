"""Frames and fields, against published vectors and against noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.nmea.encode import checksum, frame
from firmware_bridges.nmea.epoch import EpochMerger
from firmware_bridges.nmea.lines import MAX_PENDING, LineSplitter
from firmware_bridges.nmea.sentence import NotASentence, Sentence, check, parse

GOOD = b"$GNRMC,171926.00,A,4404.14063,N,12118.85478,W,0.117,,180315,,,A*76"


def _plain(value: object) -> object:
    return "" if value is None else value if isinstance(value, int | float) else str(value)


def test_published_sentences_decode_to_their_expected_fields(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "protocols/nmea0183_sentences.json").read_text())["vectors"]
    assert vectors
    for vector in vectors:
        found = parse(vector["sentence"].encode("latin-1"))
        if not vector["frame_ok"]:
            assert isinstance(found, NotASentence), vector["id"]
            continue
        assert isinstance(found, Sentence), vector["id"]
        assert (found.talker, found.type) == (vector["talker"], vector["type"])
        expected: dict[str, Any] = vector["expected"]
        got = {name: _plain(found.raw(name)) for name in expected}
        for name, value in expected.items():
            want = value if isinstance(value, int | float) else str(value)
            assert got[name] == (pytest.approx(want) if isinstance(want, float) else want), (
                vector["id"],
                name,
            )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", NotASentence.EMPTY),
        (b"# a note", NotASentence.COMMENT),
        (b"!AIVDM,1,1,,B,15N4cJ`005Jrek0H@9n`DW5608EP,0*13", NotASentence.AIS),
        (b"$PMTK705,AXN_3.60*1D", NotASentence.BAD_CHECKSUM),
        (b"$GPTXT,no checksum at all", NotASentence.NO_CHECKSUM),
        (b",1.7,-30.40,M,-13.9,M,,*7D", NotASentence.GARBAGE),
        (b"$*00", NotASentence.GARBAGE),
        (GOOD[:-2] + b"77", NotASentence.BAD_CHECKSUM),
        (GOOD[:-1], NotASentence.BAD_CHECKSUM),
        (frame("PMTK001,0,3").encode(), NotASentence.PROPRIETARY),
        (frame("GPGGA,120000,4404.1,N,xx,E,one,7,1,2,M,3,M,,").encode(), NotASentence.BAD_FIELDS),
        (b"$" + b"A" * 3000 + b"*00", NotASentence.GARBAGE),
    ],
)
def test_a_line_that_is_no_sentence_is_named(line: bytes, why: NotASentence) -> None:
    assert parse(line) is why


def test_a_sentence_after_the_rest_of_a_torn_one_is_found() -> None:
    assert isinstance(parse(b"$GPGGA,1719" + GOOD), Sentence)
    assert isinstance(parse(b" " + GOOD + b" \r\n"), Sentence)


def test_a_position_off_the_globe_or_without_hemisphere_is_none() -> None:
    for fields in ("9104.1,N,01131.0,E", "4807.0,,01131.0,E", "4807.0,N,18131.0,E", "48,N,11,E"):
        found = parse(frame(f"GPGLL,{fields},120000,A,A").encode())
        assert isinstance(found, Sentence)
        assert found.position() is None


@given(st.binary(max_size=200))
def test_noise_never_raises(data: bytes) -> None:
    merger = EpochMerger()
    for line in data.split(b"\n"):
        merger.feed(line, 0)
    merger.flush()


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80))
def test_any_fields_under_a_right_checksum_never_raise(rest: str) -> None:
    merger = EpochMerger()
    for kind in ("RMC", "GGA", "GNS", "GLL", "GSA", "VTG", "ZDA", "GST"):
        merger.feed(frame(f"GN{kind},{rest.replace('*', '').replace('$', '')}").encode(), 0)
    merger.flush()


@given(st.integers(1, len(GOOD) - 1), st.integers(1, 255))
def test_no_single_damaged_byte_is_accepted(where: int, flip: int) -> None:
    damaged = GOOD[:where] + bytes([GOOD[where] ^ flip]) + GOOD[where + 1 :]
    if damaged.upper() == GOOD.upper():
        return
    assert isinstance(check(damaged), NotASentence)


def test_the_checksum_is_the_standards_example() -> None:
    assert checksum("GNRMC,171926.00,A,4404.14063,N,12118.85478,W,0.117,,180315,,,A") == 0x76


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter()
    got: list[bytes] = []
    last = 0
    for cut in [*sorted(min(c, len(data)) for c in cuts), len(data)]:
        got += splitter.feed(data[last:cut])
        last = cut
    assert [*got, splitter.rest()] == data.split(b"\n")


def test_an_endless_line_is_dropped_and_the_next_one_read() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"x" * (MAX_PENDING + 1)) == []
    assert splitter.feed(b"more\n" + GOOD + b"\n") == [GOOD]
    assert splitter.dropped == 1
