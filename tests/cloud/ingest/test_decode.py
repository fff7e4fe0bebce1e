"""What one message turns into: good ones whole, bad ones named and the rest of them kept."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.ingest.decode import decode
from cloud.ingest.decoded import Decoded
from cloud.stores import NO_TIME, LedgerEntry
from cloud.stores.local.store import LocalStore
from tocsin.contract import topics
from tocsin.contract.codec import HEADER_BYTES, MAX_MESSAGE_BYTES, Codec, encode
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.messages import VERSION, Alarm, AlarmChange, Batch, Event, Group
from tocsin.contract.quality import Quality
from tocsin.contract.ranges import RangeSet
from tocsin.errors import WireReason

STREAM = "01JD0000000000000000000000"
NOW = 1_800_000_000_000_000_000
TELEMETRY = topics.up("plant", "gw-1", topics.TELEMETRY)
FUTURE = 300 * 10**9


class Known:
    """One gateway and what was stored of it."""

    def __init__(self, *stored: tuple[int, int]) -> None:
        self._stored = RangeSet(stored)

    def site_of(self, gateway: str) -> str | None:
        return "plant" if gateway == "gw-1" else None

    def missing(self, gateway: str, stream: str, lo: int, hi: int) -> list[tuple[int, int]]:
        return self._stored.missing(lo, hi)


def group(**changes: Any) -> Group:
    fields: dict[str, Any] = {
        "device": "gas-01",
        "measurement": "gas",
        "quantities": ("h2s", "o2"),
        "types": "ff",
        "times": [0, 1000, 2000],
        "columns": [[1.0, 2.0, 3.0], [20.9, 20.8, 20.7]],
    }
    return Group(**{**fields, **changes})


def batch(*groups: Group, first_seq: int = 10, **changes: Any) -> Batch:
    fields: dict[str, Any] = {"t0": NOW - 10**9, "tu": "us", **changes}
    return Batch(VERSION, "plant", "gw-1", STREAM, first_seq, groups=list(groups), **fields)


def raw_message(body: dict[str, Any], rows: int, first_seq: int = 10) -> bytes:
    """A message whose body no Struct would let us write."""
    data = json.dumps(body).encode()
    head = f"TOC1 jn {STREAM} {first_seq:016x} {rows:04x} ".encode()
    return b"%s%08x\n%s" % (head, zlib.crc32(data, zlib.crc32(head)), data)


def got(payload: bytes, topic: str = TELEMETRY, known: Known | None = None) -> Decoded:
    return decode(topic, payload, NOW, known or Known(), FUTURE)


def reasons(out: Decoded) -> list[WireReason]:
    return [letter.reason for letter in out.letters]


@pytest.mark.parametrize("codec", ["jn", "jd", "mn", "md"])
def test_a_good_batch_becomes_columns_times_and_one_ledger_entry(codec: Codec) -> None:
    out = got(encode(batch(group(quality=[(1, 0, int(Quality.RATE))])), codec))
    (block,) = out.blocks
    assert block.time_ns.tolist() == [NOW - 10**9 + i * 10**6 for i in range(3)]
    assert block.seq.tolist() == [10, 11, 12]
    assert block.columns["h2s"].values.tolist() == [1.0, 2.0, 3.0]
    assert block.columns["h2s"].quality is not None
    assert block.columns["h2s"].quality.tolist() == [0, Quality.RATE, 0]
    assert block.columns["o2"].quality is None
    assert out.ledger == [LedgerEntry("gw-1", STREAM, 10, 13)]
    assert not out.letters


def test_absent_values_stay_absent_and_types_are_kept() -> None:
    out = got(
        encode(
            batch(
                group(
                    measurement="machine",
                    quantities=("a", "b", "c", "d"),
                    types="fibs",
                    columns=[
                        [1.5, None, 2],
                        [7, None, 2**62],
                        [True, None, False],
                        ["x", None, "气"],
                    ],
                    source_times=[5, None, 7],
                )
            )
        )
    )
    columns = out.blocks[0].columns
    for col, values in zip(
        columns.values(), ([1.5, 2.0], [7, 2**62], [True, False], ["x", "气"]), strict=True
    ):
        assert col.valid is not None
        assert col.valid.tolist() == [True, False, True]
        assert col.values[col.valid].tolist() == values
    source = out.blocks[0].source_ns
    assert source is not None
    assert source.tolist() == [NOW - 10**9 + 5000, NO_TIME, NOW - 10**9 + 7000]


def test_one_cell_of_the_wrong_type_costs_that_cell_and_nothing_else() -> None:
    out = got(encode(batch(group(columns=[[1.0, "abc", 3.0], [20.9, 20.8, 20.7]]))))
    (letter,) = out.letters
    assert (letter.reason, letter.device, letter.quantity, letter.lo, letter.hi) == (
        WireReason.BAD_READING, "gas-01", "h2s", 11, 12,
    )  # fmt: skip
    h2s, o2 = out.blocks[0].columns["h2s"], out.blocks[0].columns["o2"]
    assert h2s.valid is not None
    assert h2s.quality is not None
    assert h2s.valid.tolist() == [True, False, True]
    assert h2s.quality.tolist() == [0, Quality.BAD, 0]
    assert o2.valid is None
    assert out.ledger == [LedgerEntry("gw-1", STREAM, 10, 13)]


def test_a_cell_that_is_no_value_at_all_is_taken_out_and_the_rest_kept() -> None:
    body = json.loads(encode(batch(group()))[HEADER_BYTES:])
    body["b"][0]["x"][1][2] = {"nested": [1, 2]}
    out = got(raw_message(body, 3))
    (letter,) = out.letters
    assert (letter.quantity, letter.lo) == ("o2", 12)
    assert out.blocks[0].columns["h2s"].values.tolist() == [1.0, 2.0, 3.0]
    assert out.ledger == [LedgerEntry("gw-1", STREAM, 10, 13)]


def test_nan_is_absent_with_its_quality() -> None:
    out = got(
        encode(batch(group(columns=[[1.0, float("nan"), 3.0], [1.0, 2.0, float("inf")]])), "mn")
    )
    h2s = out.blocks[0].columns["h2s"]
    assert h2s.valid is not None
    assert h2s.quality is not None
    assert h2s.valid.tolist() == [True, False, True]
    assert h2s.quality.tolist() == [0, Quality.NOT_FINITE, 0]


def test_a_group_that_cannot_be_is_rejected_by_its_numbers_and_its_neighbours_kept() -> None:
    out = got(
        encode(
            batch(
                group(),
                group(device="no such name!"),
                group(device="gas-02", columns=[[1.0, 2.0, 3.0]]),
                group(device="gas-03", columns=[[1.0, 2.0], [1.0, 2.0, 3.0]]),
            )
        )
    )
    assert [b.device for b in out.blocks] == ["gas-01", "gas-03"]
    assert out.blocks[1].seq.tolist() == [19, 20, 21]
    assert list(out.blocks[1].columns) == ["o2"]
    assert reasons(out) == [WireReason.BAD_SHAPE, WireReason.BAD_SHAPE, WireReason.BAD_READING]
    assert out.ledger == [
        LedgerEntry("gw-1", STREAM, 10, 13),
        LedgerEntry("gw-1", STREAM, 13, 19, rejected=True),
        LedgerEntry("gw-1", STREAM, 19, 22),
    ]


def test_a_row_an_hour_ahead_keeps_its_claim_but_not_its_place() -> None:
    ahead = 3600 * 10**6
    out = got(encode(batch(group(times=[0, ahead, 2000]))))
    assert out.blocks[0].seq.tolist() == [10, 12]
    (late,) = out.late
    assert late.seq.tolist() == [11]
    assert late.time_ns.tolist() == [NOW]
    assert late.source_ns is not None
    assert late.source_ns.tolist() == [NOW - 10**9 + ahead * 1000]
    assert late.columns["h2s"].quality is not None
    assert late.columns["h2s"].quality.tolist() == [Quality.SOURCE_TIME]
    assert out.counts["future_time"] == 1


def test_duplicates_are_dropped_whole_and_partial_overlaps_by_row() -> None:
    message = encode(batch(group(), group(device="gas-02")))
    whole = got(message, known=Known((0, 16)))
    assert (whole.blocks, whole.ledger, whole.counts["duplicates"]) == ([], [], 6)
    part = got(message, known=Known((0, 11), (14, 15)))
    assert [b.seq.tolist() for b in part.blocks] == [[11, 12], [13, 15]]
    assert part.blocks[1].columns["h2s"].values.tolist() == [1.0, 3.0]
    assert part.counts["duplicates"] == 2
    assert part.ledger == [
        LedgerEntry("gw-1", STREAM, 11, 14),
        LedgerEntry("gw-1", STREAM, 15, 16),
    ]


GOOD = encode(batch(group()))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", WireReason.TRUNCATED),
        (GOOD[:40], WireReason.TRUNCATED),
        (b"hello" * 30, WireReason.BAD_MAGIC),
        (b"TOC2" + GOOD[4:], WireReason.WRONG_VERSION),
        (GOOD[:50] + b"zzzz" + GOOD[54:], WireReason.BAD_HEADER),
    ],
)
def test_without_a_readable_header_nothing_is_settled(payload: bytes, reason: WireReason) -> None:
    out = got(payload)
    assert reasons(out) == [reason]
    assert out.ledger == []


def test_a_corrupt_message_settles_nothing_because_its_header_may_lie() -> None:
    out = got(GOOD[:-3] + b"xyz")
    assert reasons(out) == [WireReason.BAD_CRC]
    assert out.ledger == []
    assert (out.letters[0].lo, out.letters[0].hi) == (10, 13)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"v": 1}, WireReason.WRONG_TYPE),
        ({**json.loads(GOOD[HEADER_BYTES:]), "v": 9}, WireReason.WRONG_VERSION),
        ({**json.loads(GOOD[HEADER_BYTES:]), "s0": 99}, WireReason.HEADER_MISMATCH),
        ({**json.loads(GOOD[HEADER_BYTES:]), "site": "elsewhere"}, WireReason.WRONG_TOPIC),
    ],
)
def test_a_sound_message_with_an_impossible_body_is_rejected_by_its_numbers(
    body: dict[str, Any], reason: WireReason
) -> None:
    out = got(raw_message(body, 3))
    assert reasons(out) == [reason]
    assert out.ledger == [LedgerEntry("gw-1", STREAM, 10, 13, rejected=True)]


def test_an_oversized_message_is_rejected_by_its_header() -> None:
    out = got(GOOD + b" " * MAX_MESSAGE_BYTES)
    assert reasons(out) == [WireReason.OVERSIZED]
    assert out.ledger == [LedgerEntry("gw-1", STREAM, 10, 13, rejected=True)]


def test_unknown_fields_are_ignored() -> None:
    body = json.loads(GOOD[HEADER_BYTES:])
    body["from_the_future"] = [1]
    body["b"][0]["zz"] = {}
    out = got(raw_message(body, 3))
    assert not out.letters
    assert out.rows == 3


def test_unknown_quality_codes_keep_their_class() -> None:
    out = got(encode(batch(group(quality=[(0, 0, 63), (1, 0, 127), (2, 0, 4000), (9, 9, 1)]))))
    quality = out.blocks[0].columns["h2s"].quality
    assert quality is not None
    assert quality.tolist() == [Quality.UNKNOWN_CODE, Quality.BAD, Quality.BAD]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        (topics.up("plant", "gw-9", topics.TELEMETRY), WireReason.UNKNOWN_GATEWAY),
        (topics.up("other", "gw-1", topics.TELEMETRY), WireReason.UNKNOWN_GATEWAY),
        (topics.up("plant", "gw-1", "nonsense"), WireReason.WRONG_TOPIC),
        ("tocsin/1/0/plant/gw-1/up/telemetry", WireReason.WRONG_TOPIC),
        ("elsewhere", WireReason.WRONG_TOPIC),
    ],
)
def test_who_may_not_speak_is_a_letter_and_settles_nothing(topic: str, reason: WireReason) -> None:
    out = got(GOOD, topic)
    assert reasons(out) == [reason]
    assert out.ledger == []
    assert out.blocks == []


def test_alarms_events_and_state_are_recognised() -> None:
    alarm = Alarm(
        VERSION, "plant", "gw-1", STREAM, 5, "A", "gas-01", "gas", "h2s", "h2s-high",
        AlarmChange.RAISED, 1, NOW,
    )  # fmt: skip
    out = got(encode(alarm), topics.up("plant", "gw-1", topics.ALARM))
    assert out.alarm == alarm
    assert out.ledger == [LedgerEntry("gw-1", STREAM, 5, 6)]
    event = Event(VERSION, "plant", "gw-1", STREAM, 6, "agent.started", NOW)
    assert got(encode(event), topics.up("plant", "gw-1", topics.EVENT)).event == event
    assert got(b"online", topics.state("plant", "gw-1")).online is True
    assert got(b"offline", topics.state("plant", "gw-1")).online is False


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([TELEMETRY, topics.up("plant", "gw-1", "alarm"), topics.up("plant", "gw-1", "health"), topics.up("plant", "gw-1", "resume"), topics.up("plant", "gw-1", "event")]))  # fmt: skip
def test_no_bytes_make_it_raise(payload: bytes, topic: str) -> None:
    got(payload, topic)


_cells = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5), st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(_cells, min_size=0, max_size=4), min_size=0, max_size=3),
    st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=2), max_size=4),
    st.text("fibsx", max_size=3),
    st.lists(st.tuples(st.integers(-5, 9), st.integers(-5, 9), st.integers(-300, 300)), max_size=4),
)
def test_whatever_the_columns_hold_the_blocks_are_in_shape_and_every_number_is_accounted_for(
    columns: list[list[object]],
    times: list[object],
    types: str,
    quality: list[tuple[int, int, int]],
) -> None:
    body = json.loads(GOOD[HEADER_BYTES:])
    body["b"][0].update(x=columns, t=times, y=types, q=quality)
    out = got(raw_message(body, max(len(times), 1)))
    for block in (*out.blocks, *out.late):
        n = len(block.seq)
        assert len(block.time_ns) == n
        for col in block.columns.values():
            assert len(col.values) == n
            assert col.valid is None or len(col.valid) == n
            assert col.quality is None or (len(col.quality) == n and col.quality.dtype == np.uint8)
    settled = RangeSet((e.lo, e.hi) for e in out.ledger)
    assert not settled.missing(10, 10 + max(len(times), 1))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_flipped_byte_is_always_noticed(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    bit = data.draw(st.integers(0, 7))
    broken = bytearray(GOOD)
    broken[at] ^= 1 << bit
    out = got(bytes(broken))
    assert out.letters
    assert out.blocks == []
    assert all(entry.rejected for entry in out.ledger)
    assert msgspec.json.decode(GOOD[HEADER_BYTES:])


def test_what_a_gateway_converted_is_stored_beside_it_as_it_was_read(tmp_path: Path) -> None:
    layout = Layout("gas-01", "gas", ("h2s", "o2"), "ff", ("[ppb]", ""))
    rows = [Row(layout, NOW, (1.5, 20.9), raw=(1500.0, None)), Row(layout, NOW + 1, (None, 20.8))]
    t0, unit, groups = group_rows(rows)
    out = got(encode(Batch(VERSION, "plant", "gw-1", STREAM, 0, t0, groups, unit)))
    store = LocalStore(tmp_path)
    assert store.write(out.blocks, []) == []
    found = store.query("SELECT h2s, h2s_raw, o2 FROM gas ORDER BY seq")
    assert found.data == [[1.5, None], [1500.0, None], [20.9, 20.8]]
    store.close()
