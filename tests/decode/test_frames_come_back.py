"""What a codec encodes it decodes; one changed byte is never taken for a frame that says something else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.dlt645 import frames as dlt645
from firmware_bridges.gb26875 import frames as gb26875
from firmware_bridges.gb26875.app_data import decode_app
from firmware_bridges.hj212 import frames as hj212
from firmware_bridges.hj212.describe import describe as describe_hj212
from firmware_bridges.hj212.segment import parse
from firmware_bridges.sl651 import body as sl651_body
from firmware_bridges.sl651 import frames as sl651
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput

SEGMENT = b"QN=1;ST=22;CN=2011;PW=123456;MN=A1;Flag=5;CP=&&DataTime=20261124120000;a21026-Rtd=1.5,a21026-Flag=N&&"
six = st.binary(min_size=6, max_size=6)
byte = st.integers(0, 255)


@given(st.binary(max_size=400))
def test_hj212_frames_come_back(segment: bytes) -> None:
    assert hj212.decode_frame(hj212.encode_frame(segment)).segment == segment
    parse(segment)


@given(st.integers(6, 6 + len(SEGMENT) + 3), st.integers(1, 255))
def test_a_turned_byte_of_an_hj212_frame_is_refused(at: int, turn: int) -> None:
    spoilt = bytearray(hj212.encode_frame(SEGMENT))
    spoilt[at] ^= turn
    if (
        at >= 6 + len(SEGMENT)
        and spoilt[at : at + 1].lower() == hj212.encode_frame(SEGMENT)[at : at + 1].lower()
    ):
        return  # the CRC's hex digits may be of either case
    with pytest.raises(CodecError):
        hj212.decode_frame(bytes(spoilt))


def test_an_hj212_variant_is_taken_only_where_it_is_accepted_and_then_flagged() -> None:
    told = hj212.encode_frame(SEGMENT)
    other = told[:-6] + b"%04X\r\n" % 0x1234
    with pytest.raises(CodecError) as caught:
        describe_hj212(FrameInput(other))
    assert caught.value.reason is CodecReason.CHECKSUM
    facts = describe_hj212(FrameInput(other, accept_variants=True))
    assert facts["variant"] == "crc-unknown"
    assert not facts["crc_ok"]
    assert facts["factors"] == {"a21026": {"Rtd": "1.5", "Flag": "N"}}
    assert "variant" not in describe_hj212(FrameInput(told, accept_variants=True))


@given(six, byte, st.binary(max_size=200), st.integers(0, 6))
def test_dlt645_frames_come_back(address: bytes, control: int, data: bytes, preamble: int) -> None:
    frame = dlt645.Frame(address.hex(), control, data, preamble)
    assert dlt645.decode_frame(dlt645.encode_frame(frame)) == frame


@given(st.integers(0, 0xFFFF), byte, byte, six, six, six, byte, st.binary(max_size=1024))
def test_gb26875_frames_come_back(
    serial: int,
    major: int,
    minor: int,
    time: bytes,
    source: bytes,
    to: bytes,
    command: int,
    app: bytes,
) -> None:
    frame = gb26875.Frame(serial, (major, minor), time, source, to, command, app)
    assert gb26875.decode_frame(gb26875.encode_frame(frame)) == frame
    with suppress(CodecError):
        decode_app(app)


five = st.binary(min_size=5, max_size=5)
part = st.none() | st.tuples(st.integers(1, 0xFFF), st.integers(1, 0xFFF))


@given(st.booleans(), byte, five, byte, part, st.binary(max_size=300), st.binary(max_size=9))
def test_sl651_frames_come_back(
    up: bool,
    centre: int,
    station: bytes,
    function: int,
    of: tuple[int, int] | None,
    body: bytes,
    tail: bytes,
) -> None:
    start, (index, total) = (sl651.SYN, of) if of else (sl651.STX, (None, None))
    frame = sl651.Frame(
        up,
        f"{centre:02x}",
        station.hex(),
        b"\x12\x34",
        function,
        start,
        3,
        body,
        index,
        total,
        len(tail),
    )
    assert sl651.decode_frame(sl651.encode_frame(frame) + tail) == frame
    sl651_body.parse(body)
    sl651_body.elements(body)


@given(st.integers(2, 40), st.integers(1, 255))
def test_a_turned_byte_of_an_sl651_frame_is_refused(at: int, turn: int) -> None:
    frame = sl651.Frame(True, "01", "0012345678", b"\x12\x34", 0x32, 2, 3, bytes(range(23)))
    spoilt = bytearray(sl651.encode_frame(frame))
    spoilt[at % len(spoilt)] ^= turn
    with pytest.raises(CodecError):
        sl651.decode_frame(bytes(spoilt))


def test_sl651_elements_of_one_series_share_their_length() -> None:
    told = sl651_body.elements(bytes.fromhex("0418000005" + "2619000010000020ff0030ffffff"))
    assert told[1] == {"id": "26", "decimals": 1, "values": [1.0, 2.0, -3.0, None]}
    values = [
        sl651_body.number(bytes.fromhex(h), 1) for h in ("000010", "ff0030", "ffffff", "00000a")
    ]
    assert values == [1.0, -3.0, None, None]
