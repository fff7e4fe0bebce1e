"""Application data both ways, and frames out of any stream."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.gb26875.app_data import LAYOUTS, decode_app, encode_app
from firmware_bridges.gb26875.describe import describe
from firmware_bridges.gb26875.frames import HEAD, MAX_APP, Frame, decode_frame, encode_frame
from firmware_bridges.gb26875.splitter import Splitter, Spoilt
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput

ONE: dict[str, Any] = {
    "system_type": 1,
    "system_addr": 3,
    "component_type": 40,
    "component_addr": 393433,
    "status": 2,
    "uitd_status": 1,
    "description": "Ａ区１层走廊",
    "analog_type": 3,
    "analog_raw": -125,
    "operation": 5,
    "operator": 9,
    "version": "3.4",
    "config": "地下二层",
    "records": 2,
    "reserved": 0,
    "timeout_min": 10,
    "time": "2021-07-02T09:00:04",
}


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_objects_of_every_type_come_back(kind: int) -> None:
    data = encode_app(kind, [ONE, ONE])
    told = decode_app(data)
    assert (told["type"], told["count"]) == (kind, 2)
    for one in told["objects"]:
        assert {name: one[name] for name in LAYOUTS[kind]} == {n: ONE[n] for n in LAYOUTS[kind]}
    assert encode_app(kind, told["objects"]) == data
    with pytest.raises(CodecError):
        decode_app(data[:-1])
    with pytest.raises(CodecError):
        decode_app(data + b"\x00")


def test_known_application_data_is_encoded_byte_for_byte(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "protocols" / "gb26875.json").read_text("utf-8"))["vectors"]
    known = [v for v in vectors if v["kind"] == "app_data"]
    assert len(known) > 5
    for vector in known:
        expected, data = vector["expected"], bytes.fromhex(vector["hex"])
        made = encode_app(expected["type"], expected["objects"])
        if expected["type"] == 6:  # this one fills its text up with zeroes
            made = made[:4] + data[4:5] + made[5:].ljust(data[4], b"\x00")
        assert made == data


def test_a_good_frame_with_odd_data_tells_the_objects_that_are_whole() -> None:
    for app, rest in (
        (encode_app(1, [ONE]) + b"\x00\x01", "0001"),
        (b"\x01\x02" + encode_app(1, [ONE])[2:] + b"\x07", "07"),
    ):
        told = describe(FrameInput(_frame(1, app)))["app"]
        assert [one["status"] for one in told["objects"]] == [2]
        assert told["rest"] == rest
        assert told["error"]
    assert describe(FrameInput(_frame(1, b"\x05")))["app"]["error"] == "no type and count"


def test_words_and_values_are_told_with_their_names() -> None:
    (system,) = decode_app(encode_app(1, [ONE | {"status": 0x2102}]))["objects"]
    assert system["states"] == ["fire", "main_power_fault", "reset"]
    assert system["system_name"] == "火灾报警系统"
    (part,) = decode_app(encode_app(2, [ONE | {"status": 0x8105}]))["objects"]
    assert part["states"] == ["normal", "fault", "power_fault", "bit15"]
    assert part["component_name"] == "感烟火灾探测器"
    (transmitter,) = decode_app(encode_app(21, [ONE | {"uitd_status": 0x29}]))["objects"]
    assert transmitter["states"] == ["normal", "main_power_fault", "link_fault"]
    assert decode_app(encode_app(24, [ONE | {"operation": 0x21}]))["objects"][0]["operations"] == [
        "reset",
        "attendance",
    ]


@pytest.mark.parametrize(
    ("kind", "raw", "value", "unit"),
    [(1, 7, 7, "1"), (2, 20481, 204.81, "m"), (3, -125, -12.5, "Cel"), (4, 12, 1.2, "MPa"), (5, 1013, 101.3, "kPa"),
     (6, 251, 25.1, "%{LEL}"), (8, 2205, 220.5, "V"), (10, 55, 5.5, "L/s"), (12, 3, 3, "m/s"), (0, 5, None, None), (200, 5, None, None)],
)  # fmt: skip
def test_analog_values_have_their_scale(
    kind: int, raw: int, value: float | None, unit: str | None
) -> None:
    (one,) = decode_app(encode_app(3, [ONE | {"analog_type": kind, "analog_raw": raw}]))["objects"]
    assert (one.get("value"), one.get("unit")) == (value, unit)


def test_a_long_text_is_cut_between_characters() -> None:
    (one,) = decode_app(encode_app(2, [ONE | {"description": "层" * 40}]))["objects"]
    assert one["description"] == "层" * 15


@pytest.mark.parametrize("field", ["status", "time", "description", "component_addr"])
def test_a_field_that_is_missing_or_does_not_fit_is_refused(field: str) -> None:
    for one in (
        {k: v for k, v in ONE.items() if k != field},
        ONE | {field: -1 if field in ("status", "component_addr") else 5},
    ):
        with pytest.raises(CodecError) as caught:
            encode_app(2, [one])
        assert caught.value.reason is CodecReason.BAD_FIELD


def _frame(serial: int, app: bytes = b"") -> bytes:
    return encode_frame(Frame(serial, (1, 1), bytes(6), bytes(6), bytes(6), 2, app))


def test_frames_are_found_in_any_pieces_and_between_junk() -> None:
    stream = b"".join(
        (b"\x00@noise" if i % 3 else b"") + _frame(i, b"@@##" * (i % 5)) for i in range(40)
    )
    for size in (1, 7, 4096):
        splitter = Splitter()
        found = [
            item
            for at in range(0, len(stream), size)
            for item in splitter.feed(stream[at : at + size])
        ]
        assert [f.serial for f in found if isinstance(f, Frame)] == list(range(40))
        assert len(found) == 40
        assert splitter.counts["junk_bytes"] == 7 * 26


def test_a_spoilt_frame_costs_only_itself() -> None:
    spoilt = bytearray(_frame(1, bytes(range(48))))
    spoilt[40] ^= 1
    told = list(Splitter().feed(bytes(spoilt) + _frame(2)))
    assert isinstance(told[0], Spoilt)
    assert told[0].error.reason is CodecReason.CHECKSUM
    assert (told[0].frame.serial, told[0].frame.command) == (1, 2)
    assert isinstance(told[-1], Frame)
    assert told[-1].serial == 2


def test_a_false_beginning_does_not_hold_back_a_frame_for_ever() -> None:
    splitter = Splitter()
    claims = b"@@" + bytes(HEAD - 5) + (MAX_APP).to_bytes(2, "little") + b"\x02"
    assert list(splitter.feed(claims + _frame(7))) == []
    found = list(splitter.silence())
    assert [f.serial for f in found if isinstance(f, Frame)] == [7]
    assert not splitter.pending


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_stream_breaks_the_splitter(pieces: list[bytes]) -> None:
    splitter = Splitter()
    for piece in pieces:
        for item in splitter.feed(piece):
            if isinstance(item, Frame):
                decode_frame(encode_frame(item))
    list(splitter.silence())
    assert not splitter.pending


def test_mutated_frames_are_refused_or_whole() -> None:
    random, good = Random(5), _frame(3, encode_app(2, [ONE]))
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        try:
            decode_app(decode_frame(bytes(data)).app)
        except CodecError:
            continue
