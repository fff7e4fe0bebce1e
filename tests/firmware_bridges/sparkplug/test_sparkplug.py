"""Sparkplug B: our bytes against pysparkplug's, births and numbers as the host sees them, and the way there and back."""

from __future__ import annotations

from contextlib import suppress

import pysparkplug as peer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.sparkplug.host import ASK_AGAIN_NS, Host, Outcome, rebirth_command
from firmware_bridges.sparkplug.node import EdgeNode, Point, Told
from firmware_bridges.sparkplug.payload import DataType, Metric, Payload, decode, encode
from firmware_bridges.sparkplug.topics import Topic, parse
from tocsin.errors import CodecError

T_MS = 1_764_000_000_000
POINTS = {
    "gas-1": (Point("h2s", "[ppm]", "f"), Point("status", "1", "i")),
    "door": (Point("open", "1", "b"), Point("note", "1", "s")),
}
VALUES = [
    (peer.DataType.INT8, -5),
    (peer.DataType.INT16, -300),
    (peer.DataType.INT32, -70_000),
    (peer.DataType.INT64, -(2**40)),
    (peer.DataType.UINT8, 200),
    (peer.DataType.UINT64, 2**63 + 1),
    (peer.DataType.FLOAT, 1.5),
    (peer.DataType.DOUBLE, -2.25),
    (peer.DataType.BOOLEAN, False),
    (peer.DataType.STRING, "汉字"),
    (peer.DataType.BYTES, b"\x00\xff"),
    (peer.DataType.DOUBLE, None),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_what_an_independent_encoder_writes_is_read(kind: peer.DataType, value: object) -> None:
    metric = peer.Metric(T_MS, "a/b", kind, value, alias=7, is_historical=True)  # type: ignore[arg-type]
    told = decode(peer.DBirth(T_MS + 1, 255, (metric,)).encode())
    assert (told.timestamp_ms, told.seq) == (T_MS + 1, 255)
    (found,) = told.metrics
    assert (found.name, found.alias, found.timestamp_ms) == ("a/b", 7, T_MS)
    assert (found.datatype, found.historical, found.null) == (int(kind), True, value is None)
    assert found.value() == value


def test_an_independent_decoder_reads_what_we_write() -> None:
    node = EdgeNode("plant", "gw-1", POINTS)
    will_topic, will = node.begin(T_MS)
    assert will_topic == "spBv1.0/plant/NDEATH/gw-1"
    assert peer.NDeath.decode(will).bd_seq_metric.value == 0
    last = [Told("gas-1", T_MS, (1.5, -7), (False, True))]
    (n_topic, n_birth), (_, gas), (d_topic, door) = node.births(T_MS, last)
    assert (n_topic, d_topic) == ("spBv1.0/plant/NBIRTH/gw-1", "spBv1.0/plant/DBIRTH/gw-1/door")
    assert [(m.name, m.value) for m in peer.NBirth.decode(n_birth).metrics] == [
        ("bdSeq", 0),
        ("Node Control/Rebirth", False),
    ]
    birth = peer.DBirth.decode(gas)
    assert birth.seq == 1
    assert [(m.name, m.value) for m in birth.metrics] == [("h2s", 1.5), ("status", -7)]
    assert [m.value for m in peer.DBirth.decode(door).metrics] == [None, None]
    topic, data = node.data(Told("gas-1", T_MS + 5, (2.5, None)), T_MS + 6, historical=True)
    assert topic == "spBv1.0/plant/DDATA/gw-1/gas-1"
    found = peer.DData.decode(data, birth=birth)
    assert found.seq == 3
    assert [(m.name, m.value, m.is_historical) for m in found.metrics] == [("h2s", 2.5, True)]


def test_a_host_gets_back_what_a_node_told_and_births_on_request() -> None:
    node, host = EdgeNode("g", "n", POINTS), Host()
    _, will = node.begin(T_MS)
    told = _hear(host, node.births(T_MS, [Told("door", T_MS, (True, "x"), (False, True))]))
    assert [o.born for o in told] == [("g/n",), ("g/n/gas-1",), ("g/n/door",)]
    assert told[2].reports[0].values == {"open": True, "note": None}
    for n in range(300):  # round the end of the sequence numbers
        row = Told("gas-1", T_MS + n, (float(n), -n))
        (outcome,) = _hear(host, [node.data(row, T_MS + n)])
        (report,) = outcome.reports
        assert (report.source, report.values) == ("g/n/gas-1", {"h2s": n, "status": -n})
        assert report.time_ns == (T_MS + n) * 10**6
    node.data(Told("door", T_MS, (False, "lost")), T_MS)  # never heard
    (gap,) = _hear(host, [node.data(Told("gas-1", T_MS, (1.0, 1)), T_MS)])
    assert (gap.reports, gap.unknown) == ((), 2)
    assert gap.ask == Topic("g", "NCMD", "n")
    assert node.asks_rebirth(str(gap.ask), rebirth_command(T_MS))
    (again,) = _hear(host, [node.data(Told("gas-1", T_MS, (1.0, 1)), T_MS)])
    assert again.ask is None, "asked again at once"
    (later,) = _hear(host, [node.data(Told("gas-1", T_MS, (1.0, 1)), T_MS)], ASK_AGAIN_NS)
    assert later.ask is not None
    _hear(host, node.births(T_MS, []))
    (good,) = _hear(host, [node.data(Told("gas-1", T_MS, (1.0, 1)), T_MS)])
    assert good.reports
    assert host.receive("spBv1.0/g/NDEATH/n", will, 0).dead == ("g/n", "g/n/door", "g/n/gas-1")


def test_a_last_will_of_an_earlier_session_is_passed_over() -> None:
    node, host = EdgeNode("g", "n", POINTS), Host()
    _, old_will = node.begin(T_MS)
    _hear(host, node.births(T_MS, []))
    node.begin(T_MS)
    reborn = _hear(host, node.births(T_MS, []))
    assert reborn[0].dead == ("g/n/door", "g/n/gas-1"), "a new session: until they are born again"
    assert host.receive("spBv1.0/g/NDEATH/n", old_will, 0) == Outcome()
    assert _hear(host, [node.data(Told("gas-1", T_MS, (1.0, 1)), T_MS)])[0].reports


def test_a_metric_with_a_name_needs_no_birth_and_a_dead_device_is_told() -> None:
    host = Host()
    named = Metric("t", timestamp_ms=T_MS, datatype=DataType.DOUBLE, raw=20.5)
    first = host.receive("spBv1.0/g/NDATA/n", encode(Payload((named,), T_MS, 9)), 0)
    assert first.reports[0].values == {"t": 20.5}
    assert first.ask is not None
    gone = host.receive("spBv1.0/g/DDEATH/n/d", encode(Payload((), T_MS, 10)), 0)
    assert gone.dead == ("g/n/d",)


def _hear(host: Host, messages: list[tuple[str, bytes]], now_ns: int = 0) -> list[Outcome]:
    return [host.receive(topic, data, now_ns) for topic, data in messages]


@pytest.mark.parametrize(
    "topic", ["spBv1.0/g/STATE/h", "spBv1.0/g/NDATA", "spBv1.0/g/NDATA/n/d", "spAv1.0/g/NDATA/n"]
)
def test_other_topics_are_none_of_ours(topic: str) -> None:
    assert parse(topic) is None


metric = st.builds(
    Metric,
    st.none() | st.text(max_size=20),
    st.none() | st.integers(0, 2**63),
    st.none() | st.integers(0, 2**63),
    st.just(int(DataType.INT64)),
    st.booleans(),
    raw=st.integers(0, 2**63 - 1) | st.booleans() | st.text(max_size=9) | st.binary(max_size=9),
)


@given(st.lists(metric, max_size=9), st.none() | st.integers(0, 255))
def test_payloads_come_back(metrics: list[Metric], seq: int | None) -> None:
    payload = Payload(tuple(metrics), T_MS, seq)
    assert decode(encode(payload)) == payload


@given(
    st.binary(max_size=200), st.sampled_from(["NBIRTH/n", "DBIRTH/n/d", "DDATA/n/d", "NDEATH/n"])
)
def test_no_bytes_raise_anything_but_a_refusal(data: bytes, kind: str) -> None:
    host = Host()
    for spoilt in (data, b"\x12" + bytes([len(data) & 0x7F]) + data):
        with suppress(CodecError):
            host.receive(f"spBv1.0/g/{kind}", spoilt, 0)
