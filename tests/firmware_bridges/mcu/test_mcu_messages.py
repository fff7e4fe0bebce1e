"""Frames of the sensor board: published vectors, round trips, and everything that is not a frame."""

from __future__ import annotations

from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.mcu import messages
from firmware_bridges.mcu.firmware import tocsin_board as board
from firmware_bridges.mcu.messages import Data, Hello, Sensor, Splitter
from tocsin.errors import CodecError
from tocsin.sdk import FrameInput

# Worked examples of Cheshire and Baker, "Consistent Overhead Byte Stuffing" (1999), and of the encoding's limits.
COBS = [
    (b"", b"\x01"),
    (b"\x00", b"\x01\x01"),
    (b"\x00\x00", b"\x01\x01\x01"),
    (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
    (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
    (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
    (bytes(range(1, 255)), b"\xff" + bytes(range(1, 255))),
    (bytes(range(255)), b"\x01\xff" + bytes(range(1, 255))),
    (bytes(range(1, 256)), b"\xff" + bytes(range(1, 255)) + b"\x02\xff"),
    (bytes(range(2, 256)) + b"\x00", b"\xff" + bytes(range(2, 256)) + b"\x01\x01"),
]


@pytest.mark.parametrize(("plain", "stuffed"), COBS)
def test_cobs_agrees_with_the_published_examples(plain: bytes, stuffed: bytes) -> None:
    assert board.cobs_encode(plain) == stuffed
    assert board.cobs_decode(stuffed) == plain


def test_the_crc_has_its_published_check_value() -> None:
    assert board.crc16(b"123456789") == 0x29B1


@given(st.binary(max_size=1000))
def test_cobs_holds_no_zero_and_comes_back(data: bytes) -> None:
    stuffed = board.cobs_encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + len(data) // 254 + 1
    assert board.cobs_decode(stuffed) == data


_plain = (
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.floats(allow_nan=False)
)
_text = st.text(max_size=40)


@given(
    st.dictionaries(st.integers(0, 300), _plain | _text | st.lists(_plain, max_size=30), max_size=9)
)
def test_the_firmwares_cbor_is_read_by_the_library(message: dict[int, object]) -> None:
    block = board.frame(message)
    assert block[-1] == 0
    assert cbor2.loads(board.cobs_decode(block[:-1])[:-2]) == message


@given(st.binary(max_size=700))
def test_whatever_comes_is_a_message_or_a_codec_error(block: bytes) -> None:
    with suppress(CodecError):
        messages.decode(block)


@given(st.binary(max_size=80))
def test_a_good_check_around_any_cbor_is_still_judged(body: bytes) -> None:
    block = board.cobs_encode(body + board.crc16(body).to_bytes(2, "big"))
    with suppress(CodecError):
        messages.decode(block)


@given(st.integers(0, 400), st.integers(1, 255))
def test_one_turned_byte_is_never_taken(at: int, turn: int) -> None:
    block = bytearray(board.frame({0: board.DATA, 1: 7, 2: 1234, 3: [1.5, None, 3]})[:-1])
    at %= len(block)
    block[at] ^= turn
    if block[at] == 0:
        return
    with pytest.raises(CodecError):
        messages.decode(bytes(block))


def test_a_hello_tells_sensors_units_and_ranges() -> None:
    told = [["h2s", "[ppm]", 0, 100], ["temp", "Cel", None, 85.5]]
    line = {0: board.HELLO, 1: 3, 2: 99, 3: "b", 4: "1.0", 5: 77, 6: told}
    assert messages.decode(board.frame(line)[:-1]) == Hello(
        3,
        99,
        "b",
        "1.0",
        77,
        (Sensor("h2s", "[ppm]", 0.0, 100.0), Sensor("temp", "Cel", None, 85.5)),
    )


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 7))
def test_the_splitter_finds_every_block_however_the_bytes_come(
    parts: list[bytes], step: int
) -> None:
    blocks = [board.cobs_encode(p) for p in parts]
    line = b"\x00".join(blocks) + b"\x00"
    splitter, found = Splitter(), list[bytes]()
    for i in range(0, len(line), step):
        found += splitter.feed(line[i : i + step])
    assert found == blocks


def test_a_line_without_end_costs_bounded_memory_and_the_next_frame_is_found() -> None:
    splitter = Splitter()
    for _ in range(1000):
        assert splitter.feed(b"\x55" * 4096) == []
    good = board.frame({0: board.DATA, 1: 1, 2: 2, 3: [1]})
    assert splitter.feed(b"\x00" + good) == [good[:-1]]
    assert splitter.overlong == 1


def test_a_board_holds_what_is_not_acknowledged_and_sends_it_again() -> None:
    sent, now = list[bytes](), [0]
    unit = board.Board("b", "1", 1, [("h2s", "[ppm]", 0, 9)], sent.append, lambda: now[0], keep=2)  # type: ignore[no-untyped-call]
    for value in (1.0, 2.0, 3.0):
        unit.sample([value])
    assert unit.lost == 1
    sent.clear()
    now[0] = 5000
    unit.tick()
    assert [messages.decode(s[:-1]) for s in sent] == [Data(1, 0, (2.0,)), Data(2, 0, (3.0,))]
    sent.clear()
    unit.feed(b"noise" + messages.ack([1])[:4])
    unit.feed(b"\x00" + messages.ack([2]) + messages.who())
    now[0] = 9000
    unit.tick()
    kinds = [messages.decode(s[:-1]) for s in sent]
    assert isinstance(kinds[0], Hello)
    assert kinds[1:] == [Data(1, 0, (2.0,))]


@given(st.binary(max_size=600))
def test_the_firmware_survives_whatever_a_host_sends(data: bytes) -> None:
    unit = board.Board("b", "1", 1, [], lambda _: None, lambda: 0)  # type: ignore[no-untyped-call]
    unit.feed(data + b"\x00")
    unit.feed(board.cobs_encode(data + board.crc16(data).to_bytes(2, "big")) + b"\x00")


# Printed by this firmware under MicroPython 1.27.0 (WebAssembly build), for the calls of the test below.
MICROPYTHON = [
    "02a701020102021f0367626f6172642d310463312e3005184d06828463683273655b70706d5d131864846474656d706343656c3827185506ed00",
    "02a40301010202060382fb3ff8010101010104f61b6600",
    "02a4050101010207038202f52e7700",
    "02a50502010202130364646f6f7204686f70656e20e997a85e1900",
    "02a303030207036268696f6100",
    "02a701040103021f0367626f6172642d310463312e3005184d06828463683273655b70706d5d131864846474656d706343656c38271855307700",
    "02a4050101010207038202f52e7700",
    "02a50502010202130364646f6f7204686f70656e20e997a85e1900",
]


def test_cpython_and_micropython_print_the_same_bytes() -> None:
    sent, now = list[bytes](), [0]
    sensors = [("h2s", "[ppm]", 0, 100), ("temp", "Cel", -40, 85)]
    unit = board.Board("board-1", "1.0", 77, sensors, sent.append, lambda: now[0])  # type: ignore[no-untyped-call]
    unit.hello()
    unit.sample([1.5, None])
    unit.sample([2, True])
    unit.event("door", "open 门")
    unit.log("hi")
    unit.feed(messages.ack([0]) + messages.time(1_700_000_000_000) + b"\x55\x00" + messages.who())
    now[0] = 5000
    unit.tick()
    assert [line.hex() for line in sent] == MICROPYTHON
    assert (unit.host_unix_ms, unit.garbled, unit.lost) == (1_700_000_000_000, 1, 0)


def test_what_the_gateway_says_is_read_too() -> None:
    sent = (messages.who(), messages.ack([3, 4]), messages.time(1_700_000_000_000))
    told = [messages.describe(FrameInput(data)) for data in sent]
    assert told == [
        {"message": "who"},
        {"message": "ack", "seqs": [3, 4]},
        {"message": "time", "unix_ms": 1_700_000_000_000},
    ]
