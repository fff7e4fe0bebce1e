"""The Modbus codec gives back what went in, and takes no damaged frame."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.modbus.crc import crc16
from firmware_bridges.modbus.frames import (
    RtuFrame,
    RtuRequests,
    TcpFrame,
    TcpRequests,
    decode_rtu,
    decode_tcp,
    encode_rtu,
    encode_tcp,
)
from firmware_bridges.modbus.loop import loop_map, loop_quality
from firmware_bridges.modbus.pdu import (
    Answer,
    Bits,
    ReadRequest,
    Refused,
    Registers,
    Request,
    WriteRequest,
    Written,
    answer_size,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    request_size,
)
from firmware_bridges.modbus.values import Order, RegisterType, decode, encode, limits
from tocsin.contract.quality import Quality
from tocsin.errors import FrameError

WORD = st.integers(0, 65535)
BIT = st.integers(0, 1)

REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(ReadRequest, st.sampled_from((1, 2)), WORD, st.integers(1, 2000)),
    st.builds(ReadRequest, st.sampled_from((3, 4)), WORD, st.integers(1, 125)),
    st.builds(WriteRequest, st.just(5), WORD, st.tuples(BIT)),
    st.builds(WriteRequest, st.just(6), WORD, st.tuples(WORD)),
    st.builds(WriteRequest, st.just(15), WORD, st.lists(BIT, min_size=1, max_size=90).map(tuple)),
    st.builds(WriteRequest, st.just(16), WORD, st.lists(WORD, min_size=1, max_size=123).map(tuple)),
)
ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(
        Registers, st.sampled_from((3, 4)), st.lists(WORD, min_size=1, max_size=125).map(tuple)
    ),
    st.builds(Bits, st.just(1), st.lists(st.booleans(), min_size=8, max_size=8).map(tuple)),
    st.builds(Written, st.sampled_from((5, 6, 15, 16)), WORD, WORD),
    st.builds(Refused, st.integers(1, 127), st.integers(0, 255)),
)


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(request_: Request) -> None:
    data = encode_request(request_)
    assert decode_request(data) == request_
    assert request_size(data) == len(data)


@given(ANSWERS)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    data = encode_answer(answer)
    assert decode_answer(data) == answer
    assert answer_size(data) == len(data)


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused_with_a_named_error(data: bytes) -> None:
    for decoder in (decode_request, decode_answer, decode_rtu, decode_tcp, TcpRequests().feed):
        with suppress(FrameError):
            decoder(data)
    RtuRequests().feed(data)


@given(st.integers(0, 255), ANSWERS, st.data())
def test_one_flipped_byte_of_an_rtu_frame_is_never_accepted(
    unit: int, answer: Answer, data: st.DataObject
) -> None:
    frame = bytearray(encode_rtu(RtuFrame(unit, encode_answer(answer))))
    assert decode_rtu(bytes(frame)).unit == unit
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError):
        decode_rtu(bytes(frame))


@given(st.lists(REQUESTS, min_size=1, max_size=4), st.data())
def test_requests_are_found_however_the_line_splits_them(
    requests: list[Request], data: st.DataObject
) -> None:
    stream = b"".join(encode_rtu(RtuFrame(9, encode_request(r))) for r in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parser = RtuRequests()
    heard = [
        frame
        for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in parser.feed(stream[a:b])
    ]
    assert [decode_request(frame.pdu) for frame in heard] == requests
    assert parser.skipped == 0


@given(st.binary(min_size=1, max_size=6).filter(lambda b: b[-1] not in (9, 3)))
def test_a_request_is_found_after_noise_and_a_silence(noise: bytes) -> None:
    parser = RtuRequests()
    parser.feed(noise)
    parser.silence()
    asked = RtuFrame(9, encode_request(ReadRequest(3, 0, 2)))
    assert parser.feed(encode_rtu(asked)) == [asked]


def test_who_are_you_is_heard_in_pieces_and_what_follows_it_too() -> None:
    who = RtuFrame(5, b"\x2b\x0e\x01\x00")
    asked = RtuFrame(5, encode_request(ReadRequest(3, 0, 2)))
    stream = encode_rtu(who) + encode_rtu(asked)
    parser = RtuRequests()
    assert [f for byte in stream for f in parser.feed(bytes([byte]))] == [who, asked]
    assert parser.skipped == 0


@given(st.integers(0, 65535), st.integers(0, 255), ANSWERS)
def test_a_tcp_frame_comes_back_as_it_was(transaction: int, unit: int, answer: Answer) -> None:
    frame = TcpFrame(transaction, unit, encode_answer(answer))
    assert decode_tcp(encode_tcp(frame)) == frame
    with pytest.raises(FrameError):
        decode_tcp(encode_tcp(frame)[:-1])


@given(st.sampled_from(list(Order)), st.sampled_from(list(RegisterType)), st.data())
def test_numbers_survive_every_type_and_order(
    order: Order, kind: RegisterType, data: st.DataObject
) -> None:
    bounds = limits(kind)
    value: float
    if bounds is None:
        value = data.draw(st.floats(width=32 if kind is RegisterType.F32 else 64))
    else:
        value = data.draw(st.integers(*bounds))
    back = decode(encode(value, kind, order), kind, order)
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_the_checksum_has_the_published_check_value() -> None:
    assert crc16(b"123456789") == 0x4B37


@pytest.mark.parametrize(
    ("current_ma", "quality"),
    [
        (0.0, Quality.SENSOR_FAULT),
        (3.6, Quality.SENSOR_FAULT),
        (3.7, Quality.SATURATED),
        (3.8, Quality.GOOD),
        (12.0, Quality.GOOD),
        (20.5, Quality.GOOD),
        (20.8, Quality.SATURATED),
        (21.0, Quality.SENSOR_FAULT),
        (math.nan, Quality.SENSOR_FAULT),
    ],
)
def test_a_loop_is_judged_as_ne43_says(current_ma: float, quality: Quality) -> None:
    assert loop_quality(current_ma) is quality


def test_a_loop_maps_4_and_20_ma_to_the_ends_of_its_range() -> None:
    scale, offset = loop_map(-50.0, 150.0)
    assert 4 * scale + offset == -50.0
    assert 20 * scale + offset == 150.0
