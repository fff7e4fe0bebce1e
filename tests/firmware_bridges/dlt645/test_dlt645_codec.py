"""Identifiers against another project's tables, values both ways, and frames out of any stream."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from dlt645.model.data.data_handler import clone_data_map
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.dlt645.describe import describe
from firmware_bridges.dlt645.frames import Frame, encode_frame
from firmware_bridges.dlt645.identifiers import Meaning, meaning, members
from firmware_bridges.dlt645.splitter import Splitter
from firmware_bridges.dlt645.values import number, write
from tocsin.errors import CodecError
from tocsin.sdk.codec import FrameInput


def _told(control: int, data: str) -> dict[str, Any]:
    frame = Frame("000000000001", control, bytes.fromhex(data))
    return describe(FrameInput(encode_frame(frame)))


def test_identifiers_agree_with_another_projects_tables() -> None:
    """The dlt645 package lists every identifier with its format; ours follow from rules. Its units are not compared: some are wrong."""
    compared = Counter[int]()
    for di, item in clone_data_map().items():
        told, form = meaning(di.to_bytes(4, "big")), getattr(item, "data_format", None)
        if told is None or form is None or not set(form) <= {"X", "N", "."}:
            continue
        size = told.size - 5 if told.form == "demand" else told.size
        told_form = (len(form.replace(".", "")), len(form.partition(".")[2]))
        assert told_form == (2 * size, told.decimals), hex(di)
        compared[di >> 24] += 1
    assert compared[0] > 500
    assert compared[2] > 150
    assert compared[4] > 10


@pytest.mark.parametrize(
    ("data", "value", "unit"),
    [
        ("00000000" + "44332280", -223344.0 / 100, "kWh"),
        ("00000300" + "01000080", -0.01, "kvarh"),
        ("00000100" + "01000080", 800000.01, "kWh"),
        ("00010102" + "0522", 220.5, "V"),
        ("00010202" + "001280", -1.2, "A"),
        ("00000302" + "453201", 1.3245, "kW"),
        ("00000602" + "5089", -0.95, ""),
        ("02008002" + "0250", 50.02, "Hz"),
        ("07008002" + "5580", -5.5, "Cel"),
        ("00001500" + "01000000", 0.01, "kWh"),
        ("09040004" + "002000", 2000, "imp/kWh"),
        ("00010102" + "ffff", None, "V"),
    ],
)
def test_values_have_their_sign_decimals_and_unit(
    data: str, value: float | None, unit: str
) -> None:
    told = _told(0x91, data)
    assert (told["value"], told["unit"]) == (pytest.approx(value), unit)


def test_what_is_no_number_is_told_as_what_it_is() -> None:
    demand = _told(0x91, "00000101" + "453201" + "3014021121"[::1])
    assert (demand["value"], demand["unit"], demand["at"]) == (1.3245, "kW", "2021-11-02T14:30")
    date = _told(0x91, "01010004" + "02251126")
    assert (date["value"], date["weekday"]) == ("2026-11-25", 2)
    assert _told(0x91, "02010004" + "563412")["value"] == "12:34:56"
    assert _told(0x91, "0b040004" + b"DDS102\x00\x00\x00\x00"[::-1].hex())["value"] == "DDS102"
    assert _told(0x91, "01040004" + "010000000000")["value"] == "000000000001"
    assert _told(0x81, "11c0" + "563412")["value"] == "12:34:56"


def test_blocks_tell_as_many_values_as_they_have() -> None:
    told = _told(0x91, "00ff0102" + "052210221522")
    assert [(v["di"], v["value"]) for v in told["values"]] == [
        ("02010100", 220.5),
        ("02010200", 221.0),
        ("02010300", 221.5),
    ]
    power = _told(0x91, "00ff0302" + "000600" + "000100" + "000200" + "000300")
    assert [v["name"] for v in power["values"]] == ["power", "power_a", "power_b", "power_c"]
    tariffs = _told(0x91, "00ff0100" + "00010000" * 5)
    assert [v["di"] for v in tariffs["values"]] == [f"00010{n}00" for n in range(5)]
    old = _told(0x81, "1f90" + "00010000" * 3 + "aa")
    assert [v["di"] for v in old["values"]] == ["9010", "9011", "9012"]
    volts = _told(0x81, "1fb6" + "2002" * 3)
    assert [v["value"] for v in volts["values"]] == [220.0] * 3
    assert "values" not in _told(0x91, "00ff0102" + "0522102215")
    assert not list(members(bytes.fromhex("02ffffff")))


def test_refusals_and_frames_in_parts_are_told() -> None:
    refused = _told(0xD1, "02")
    assert (refused["error"], refused["errors"]) == ("02", ["no_such_data"])
    assert _told(0xC1, "02")["errors"] == ["identifier"]
    first = _told(0xB1, "00ff0100" + "00010000")
    assert (first["more"], first["di"]) == (True, "0001ff00")
    assert "values" not in first
    asked = _told(0x12, "00ff0100" + "01")
    assert (asked["di"], asked["frame_number"]) == ("0001ff00", 1)
    last = _told(0x92, "00ff0100" + "00010000" + "01")
    assert (last["frame_number"], last["value_bcd"]) == (1, "00000100")
    assert _told(0x93, "785634129000")["meter_address"] == "009012345678"
    assert _told(0x08, "563412251126")["time"] == "2026-11-25T12:34:56"


@given(st.integers(-(10**8), 10**8), st.integers(1, 6), st.integers(0, 4), st.booleans())
def test_numbers_come_back(whole: int, size: int, decimals: int, signed: bool) -> None:
    told = Meaning(size, decimals, "V", signed)
    value = whole / 10**decimals
    try:
        data = write(value, told)
    except CodecError:
        most = 8 * 10 ** (2 * size - 1) if signed else 10 ** (2 * size)
        assert abs(whole) >= most or (whole < 0 and not signed)
        return
    assert len(data) == size
    assert number(data[::-1], told) == pytest.approx(value)


def test_frames_are_found_in_any_pieces_and_between_junk() -> None:
    stream = b"".join(
        b"\x00h\x16" * (i % 3) + encode_frame(Frame(f"{i:012d}", 0x91, b"\x35" * (i % 9), i % 5))
        for i in range(40)
    )
    for size in (1, 7, 4096):
        splitter = Splitter()
        found = [
            item
            for at in range(0, len(stream), size)
            for item in splitter.feed(stream[at : at + size])
        ]
        assert [int(f.address) for f in found if isinstance(f, Frame)] == list(range(40))


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_stream_breaks_the_splitter(pieces: list[bytes]) -> None:
    splitter = Splitter()
    for piece in pieces:
        list(splitter.feed(piece))
    assert splitter.clear() < 12 + 255
    assert splitter.clear() == 0


def test_mutated_frames_are_refused_or_described() -> None:
    random = Random(5)
    good = encode_frame(Frame("000000000001", 0x91, bytes.fromhex("00ff0102052210221522"), 4))
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(random.randint(1, 5)):
            data[random.randrange(len(data))] = random.randrange(256)
        data[-2] = sum(data[4:-2]) & 0xFF  # past the sum, to the fields
        try:
            describe(FrameInput(bytes(data)))
        except CodecError:
            continue
