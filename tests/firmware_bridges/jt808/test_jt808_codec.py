"""Round trips, broken bytes and limits of the JT/T 808 codec."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.jt808.describe import describe, describe_frame
from firmware_bridges.jt808.frames import (
    Frame,
    Header,
    decode_frame,
    encode_frame,
    encode_parts,
    escape,
    unescape,
)
from firmware_bridges.jt808.location import (
    Extra,
    Location,
    decode_batch,
    decode_location,
    encode_batch,
    encode_location,
    time_bcd,
)
from firmware_bridges.jt808.messages import (
    Auth,
    Parameter,
    Register,
    ResendRequest,
    Text,
    decode_auth,
    decode_parameters,
    decode_register,
    decode_resend,
    decode_text,
    encode_auth,
    encode_parameters,
    encode_register,
    encode_resend,
    encode_text,
)
from firmware_bridges.jt808.reassembly import Limits, Reassembler
from firmware_bridges.jt808.splitter import MAX_RUN_BYTES, Splitter
from tocsin.errors import CodecError
from tocsin.sdk.codec import FrameInput

PHONE = "013800138000"
WORD, BYTE = st.integers(0, 0xFFFF), st.integers(0, 255)
PLACE = Location(
    alarm=0,
    status=3,
    lat=22_543_100,
    lon=-114_050_300,
    altitude_m=-4,
    speed_dkmh=361,
    course_deg=270,
    time_bcd=bytes.fromhex("261124165501"),
    extras=(Extra(0x01, bytes(4)), Extra(0xEB, b"\x7e\x7d")),
)

headers = st.builds(
    lambda msg_id, digits, serial, version: Header(
        msg_id, digits[: 12 if version is None else 20], serial, version
    ),
    WORD,
    st.text("0123456789abcdef", min_size=20, max_size=20),
    WORD,
    st.none() | BYTE,
)


@given(headers, st.binary(max_size=1023))
def test_a_frame_is_read_as_it_was_written(header: Header, body: bytes) -> None:
    data = encode_frame(header, body)
    assert b"\x7e" not in data[1:-1]
    frame = decode_frame(data)
    assert (frame.header, frame.body) == (header, body)
    assert list(Splitter().feed(b"$$" + data)) == [frame]


@given(st.binary(max_size=200))
def test_escaping_is_undone(data: bytes) -> None:
    assert unescape(escape(data)) == data


@given(st.binary(max_size=400))
def test_any_bytes_give_facts_or_a_codec_error(data: bytes) -> None:
    for frame in (data, b"\x7e" + data + b"\x7e"):
        with suppress(CodecError):
            assert describe(FrameInput(frame))["checksum_ok"]


@given(WORD, st.binary(max_size=300), st.booleans())
def test_any_body_of_any_message_is_described(msg_id: int, body: bytes, newer: bool) -> None:
    header = Header(msg_id, PHONE, 1, 1 if newer else None)
    assert describe_frame(decode_frame(encode_frame(header, body)))["msg_id"] == f"0x{msg_id:04X}"


@pytest.mark.parametrize("msg_id", [0x0100, 0x0102, 0x0104, 0x0107, 0x0200, 0x0201, 0x0702])
@pytest.mark.parametrize("version", [None, 1])
def test_every_cut_of_a_known_body_is_described(msg_id: int, version: int | None) -> None:
    body = bytes(range(1, 121))
    for size in range(len(body)):
        frame = decode_frame(encode_frame(Header(msg_id, PHONE, 1, version), body[:size]))
        assert describe_frame(frame)["body_length"] == size


def test_a_broken_tail_leaves_the_position() -> None:
    data = encode_location(PLACE)
    for tail in (b"\x30", b"\x30\x05\x01", b"\xfb\x02\x00"):
        read = decode_location(data + tail)
        assert (read.lat, read.lon, read.altitude_m) == (22_543_100, -114_050_300, -4)
        assert read.extras == PLACE.extras
        assert read.tail == tail


def test_a_batch_with_an_unreadable_item_keeps_the_others() -> None:
    data = encode_batch(1, (PLACE, PLACE))
    spoilt = b"\x00\x03" + data[2:3] + b"\x00\x04abcd" + data[3:]
    read = decode_batch(spoilt)
    assert (read.count, read.kind, len(read.items), read.broken, read.tail) == (3, 1, 2, 1, b"")


def test_time_is_told_in_china_standard_time() -> None:
    wall = datetime(2026, 11, 24, 16, 30, 1, 900_000, UTC)
    stamp = time_bcd(int(wall.timestamp() * 1e9))
    assert stamp.hex() == "261125003001"
    assert decode_location(encode_location(PLACE)[:22] + stamp).time() == wall.replace(
        microsecond=0
    )


@pytest.mark.parametrize("bad", ["000000000000", "261324000000", "26ab24000000", "260230000000"])
def test_a_time_that_is_none_is_told_as_none(bad: str) -> None:
    facts = describe_frame(
        decode_frame(
            encode_frame(Header(0x0200, PHONE, 1), encode_location(PLACE)[:22] + bytes.fromhex(bad))
        )
    )
    assert facts["location"]["time"] is None
    assert facts["location"]["time_hex"] == bad


@pytest.mark.parametrize("layout", ["2011", "2013", "2019"])
def test_each_editions_registration_is_told_apart(layout: str) -> None:
    register = Register(44, 303, "70111", "M7B", "0000001", 1, "粤B88888", layout)
    assert decode_register(encode_register(register), layout == "2019") == register


@pytest.mark.parametrize("newer", [False, True])
def test_bodies_are_read_as_they_were_written(newer: bool) -> None:
    auth = Auth("code-1", "123456789012345", "3.7.15") if newer else Auth("code-1")
    assert decode_auth(encode_auth(auth, newer), newer) == auth
    parameters = (Parameter(0x29, bytes(4)), Parameter(0x13, b"10.0.0.1"))
    assert decode_parameters(encode_parameters(parameters)) == parameters
    said = Text(1, "前方封路", 2 if newer else None)
    assert decode_text(encode_text(said, newer), newer) == said
    asked = ResendRequest(7, (2, 3, 500))
    assert decode_resend(encode_resend(asked, newer), newer) == asked


def _parts(body: bytes, serial: int = 65_534) -> list[Frame]:
    made = encode_parts(Header(0x0704, PHONE, serial), body, 100)
    return [decode_frame(data) for _, data in made]


@given(st.binary(min_size=101, max_size=900), st.randoms(use_true_random=False))
def test_parts_in_any_order_and_twice_make_the_message(body: bytes, order: random.Random) -> None:
    parts = _parts(body)
    shuffled = parts + parts[:-1]
    order.shuffle(shuffled)
    reassembler = Reassembler()
    made = [whole for part in shuffled if (whole := reassembler.feed(part, 0)) is not None]
    assert made[0].body == body
    assert made[0].serials[:3] == (65_534, 65_535, 0)[: len(parts)]


def test_missing_parts_are_asked_for_and_given_up_in_the_end() -> None:
    reassembler = Reassembler(Limits(wait_s=10, asks=2))
    parts = _parts(bytes(450))
    assert all(reassembler.feed(parts[i], 0) is None for i in (1, 3))
    assert reassembler.missing(9_000_000_000) == []
    (asked,) = reassembler.missing(10_000_000_000)
    assert (asked.msg_id, asked.serial, asked.parts) == (0x0704, 65_534, (1, 3, 5))
    assert len(reassembler.missing(20_000_000_000)) == 1
    assert reassembler.missing(30_000_000_000) == []
    assert reassembler.counts["parts_dropped"] == 2


def test_a_link_cannot_make_the_platform_hold_more_than_its_limits() -> None:
    limits = Limits(parts=100, bytes_total=50_000, messages=3)
    reassembler = Reassembler(limits)
    for msg_id in range(50):
        for index in range(1, 80):
            header = Header(msg_id, PHONE, index, parted=True, total=100, index=index)
            reassembler.feed(Frame(header, bytes(1000), 0), msg_id)
            held = sum(s.size for s in reassembler._sets.values())
            assert held <= limits.bytes_total
            assert len(reassembler._sets) <= limits.messages
    for total, index in ((101, 1), (2, 3), (2, 0), (0, 0)):
        odd = Header(1, PHONE, 1, parted=True, total=total, index=index)
        assert reassembler.feed(Frame(odd, b"x", 0), 0) is None
    assert reassembler.counts["parts_refused"] == 4


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_the_splitter_takes_any_bytes(pieces: list[bytes]) -> None:
    splitter = Splitter()
    for piece in pieces:
        assert all(isinstance(item, (Frame, CodecError)) for item in splitter.feed(piece))


def test_an_endless_run_is_not_kept() -> None:
    splitter = Splitter()
    for _ in range(1000):
        assert list(splitter.feed(b"\x7e"[: _ == 0] + b"x" * 1000)) == []
        assert len(splitter._run) <= MAX_RUN_BYTES
    good = encode_frame(Header(2, PHONE, 1))
    assert [type(item) for item in splitter.feed(good)] == [Frame]
    assert splitter.counts["junk_bytes"] == 1_000_000


def test_a_driver_report_of_the_2011_edition_is_not_read_as_a_card() -> None:
    body = b"\x06" + "张三李".encode("gbk") + b"1" * 60 + b"\x04" + "公安".encode("gbk")
    frame = encode_frame(Header(0x0702, "013800138000", 1), body)
    facts = describe(FrameInput(frame))
    assert (facts["body_hex"], "driver" in facts) == (body.hex(), False)
    assert "6 is neither" in facts["body_error"]
