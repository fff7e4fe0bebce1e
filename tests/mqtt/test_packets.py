"""MQTT packets: what is written is read again however it is cut, and nothing but a CodecError comes of other bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import CodecError
from tocsin.mqtt import packets
from tocsin.mqtt.packets import Connack, Disconnect, Level, Puback, Publish, Reader, Suback

LEVELS = st.sampled_from([4, 5])
MESSAGES = st.lists(
    st.builds(
        Publish,
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40),
        st.binary(max_size=300),
        st.integers(0, 0xFFFF),
    ),
    max_size=8,
)
PROPERTIES = bytes.fromhex(
    "01 01  26 0001 61 0002 6262  02 0000003c"
)  # text; a pair; expires in 60 s


@given(LEVELS, MESSAGES, st.lists(st.integers(0, 3000), max_size=6))
def test_messages_are_read_again_however_the_stream_is_cut(
    level: Level, messages: list[Publish], cuts: list[int]
) -> None:
    stream = b"".join(packets.publish(level, m.topic, m.payload, m.mid) for m in messages)
    reader, found, at = Reader(level, 300), list[packets.Packet](), 0
    for cut in [*sorted(c for c in cuts if c < len(stream)), len(stream)]:
        found += reader.feed(stream[at:cut])
        at = cut
    assert found == messages


@given(LEVELS, st.binary(max_size=400))
def test_other_bytes_are_refused_or_read_and_nothing_else(level: Level, data: bytes) -> None:
    try:
        for packet in Reader(level, 100).feed(data):
            assert isinstance(packet, packets.Packet)
    except CodecError:
        pass


@pytest.mark.parametrize("level", [4, 5])
def test_of_a_message_that_is_too_long_only_its_beginning_is_held(level: Level) -> None:
    long = packets.publish(level, "a/b", b"x" * 1_000_000, 7)
    stream = long + packets.publish(level, "c", b"y", 8)
    reader, found = Reader(level, 1000), list[packets.Packet]()
    for at in range(0, len(stream), 10_000):
        found += reader.feed(stream[at : at + 10_000])
        assert len(reader._rest) < 100_000
    first, second = found
    assert isinstance(first, Publish)
    assert (first.topic, first.mid) == ("a/b", 7)
    assert 1000 < len(first.payload) < 100_000
    assert second == Publish("c", b"y", 8)


def test_properties_of_mqtt_5_are_passed_over() -> None:
    body = packets.text("t") + b"\0\x09" + bytes([len(PROPERTIES)]) + PROPERTIES + b"payload"
    assert Reader(5, 100).feed(packets.packet(0x3B, body)) == [
        Publish("t", b"payload", 9, retained=True, again=True)
    ]


def test_answers_of_a_server_are_read() -> None:
    assert Reader(4, 100).feed(bytes.fromhex("20020105 9003000101 4002abcd")) == [
        Connack(5, resumed=True),
        Suback(b"\x01", 1),
        Puback(0xABCD),
    ]
    told = bytes.fromhex("21 0014  13 000a  27 00100000")  # receive maximum, keep-alive 10 s, size
    connack = packets.packet(0x20, b"\x01\x00" + bytes([len(told)]) + told)
    assert Reader(5, 100).feed(connack) == [Connack(0, 10, True, 20)]
    assert Reader(5, 100).feed(bytes.fromhex("2005 0000 02 2a00")) == [Connack(0, shares=False)]
    assert Reader(5, 100).feed(bytes.fromhex("e0018e")) == [Disconnect(142)]
    assert Reader(5, 100).feed(bytes.fromhex("9005 0001 00 0187")) == [Suback(b"\x01\x87", 1)]


@pytest.mark.parametrize(
    "data",
    [
        "3400", "34070001610001 6162",  # QoS 2
        "30 02 0005",  # shorter than its topic
        "32 05 0001 61 0000",  # number 0
        "10 00",  # a server does not connect
        "30 ffffffff 01",  # a length of five bytes
        "30 04 0002 ff fe",  # not UTF-8
    ],
)  # fmt: skip
def test_what_no_server_sends_is_refused(data: str) -> None:
    with pytest.raises(CodecError):
        Reader(4, 100).feed(bytes.fromhex(data))


def test_what_a_client_says_is_as_the_standard_shows() -> None:
    assert packets.connect(4, "c", 30) == bytes.fromhex("100d 0004 4d515454 04 00 001e 0001 63")
    told = "11 00000e10 21 0005"
    want = "101d 0004 4d515454 05 c0 001e 08" + told + "0001 63 0001 75 0002 7077"
    assert packets.connect(
        5, "c", 30, username="u", password="pw", session_expiry_s=3600, receive_maximum=5
    ) == bytes.fromhex(want)
    assert packets.subscribe(4, 1, [("a/+", 1)]) == bytes.fromhex("8208 0001 0003 612f2b 01")
    assert packets.subscribe(5, 1, [("a", 0)]) == bytes.fromhex("8207 0001 00 0001 61 00")
    assert packets.unsubscribe(5, 2, ["a", "b"]) == bytes.fromhex("a209 0002 00 0001 61 0001 62")
    assert packets.connect(5, "c", 30, max_packet_bytes=1024, clean=True) == bytes.fromhex(
        "101b 0004 4d515454 05 02 001e 0d 11 00000000 21 ffff 27 00000400 0001 63"
    )
    assert packets.pubacks([1, 0xABCD]) == bytes.fromhex("40020001 4002abcd")
    with pytest.raises(ValueError, match="longer"):
        packets.publish(4, "x" * 70_000, b"")
