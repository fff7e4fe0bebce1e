"""Rows to columns, unknown fields, ids, quality codes and schemas."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.contract.examples import ALARM, BATCH, EVENT, HEALTH, JOURNALLED
from tocsin.contract import codec
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.ids import is_ulid, ulid
from tocsin.contract.messages import Alarm, Batch, Health
from tocsin.contract.quality import Quality, Severity, severity, tolerant, worst
from tocsin.contract.schemas import message_schema
from tocsin.contract.unknown import unknown_fields, unknown_in_json


@pytest.mark.parametrize("code", codec.CODECS)
def test_fields_of_a_newer_sender_are_ignored_and_counted(code: codec.Codec) -> None:
    fields = msgspec.to_builtins(BATCH)
    fields["newer"] = 1
    fields["clk"]["drift"] = 0.5
    for group in fields["b"][:2]:
        group["firmware"] = {"v": "2"}
    newer = msgspec.defstruct("Newer", [(k, Any) for k in fields])(**fields)
    data = _seal_like(BATCH, newer, code)
    header = codec.decode_header(data)
    assert codec.decode_body(header, data, Batch) == BATCH
    assert unknown_fields(header, data, Batch) == {"newer": 1, "clk.drift": 1, "b.firmware": 2}


def _seal_like(batch: Batch, newer: msgspec.Struct, code: codec.Codec) -> bytes:
    """The bytes a newer version would send: our header over its body."""
    import zlib

    body = msgspec.json.encode(newer) if code[0] == "j" else msgspec.msgpack.encode(newer)
    if code[1] == "d":
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(body) + deflate.flush()
    head = f"TOC1 {code} {batch.stream} {batch.first_seq:016x} {batch.rows:04x} ".encode()
    return b"%s%08x\n%s" % (head, zlib.crc32(body, zlib.crc32(head)), body)


@pytest.mark.parametrize("name", JOURNALLED)
def test_our_own_messages_hold_nothing_unknown(name: str) -> None:
    body = JOURNALLED[name]
    data = codec.encode(body)
    assert unknown_fields(codec.decode_header(data), data, type(body)) == {}


def test_free_data_of_an_event_is_not_unknown_but_a_field_of_a_device_is() -> None:
    assert EVENT.data
    fields = msgspec.to_builtins(HEALTH)
    fields["devices"][1]["mood"] = "good"
    fields["counters"]["anything"] = 1
    data = msgspec.json.encode(fields)
    assert msgspec.json.decode(data, type=Health).devices == HEALTH.devices
    assert unknown_in_json(data, Health) == {"devices.mood": 1}


def test_rows_become_columns_in_the_order_of_their_layouts() -> None:
    gas = Layout("gas-1", "gas", ("h2s", "o2"), "ff", raw_units=("mA", ""))
    same = Layout("gas-1", "gas", ("h2s", "o2"), "ff", raw_units=("mA", ""))
    rain = Layout("rain-1", "weather", ("rain",), "f")
    t0 = 1_700_000_000_000_000_000
    rows = [
        Row(gas, t0 + 2_000_000, (1.0, 20.9), raw=(4.1, 20.9)),
        Row(rain, t0, (0.2,), source_ns=t0 - 3_000_000),
        Row(same, t0 + 4_000_000, (None, 20.8), quality=(66, 0), raw=(None, 20.8)),
    ]
    start, unit, groups = group_rows(rows)
    assert (start, unit) == (t0, "ms")
    assert groups[0].times == [2, 4]
    assert groups[0].columns == [[1.0, None], [20.9, 20.8]]
    assert groups[0].quality == [(1, 0, 66)]
    assert groups[0].raw == {"h2s": ("mA", [4.1, None])}
    assert (groups[1].times, groups[1].source_times) == ([0], [-3])


@pytest.mark.parametrize(
    ("odd_ns", "unit"), [(0, "ms"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")]
)
def test_the_time_unit_is_the_coarsest_that_keeps_every_stamp(odd_ns: int, unit: str) -> None:
    layout = Layout("d", "gas", ("h2s",), "f")
    start = 1_700_000_000_000_000_000
    _, found, (group,) = group_rows(
        [Row(layout, start, (1.0,)), Row(layout, start + odd_ns, (1.0,))]
    )
    assert found == unit
    assert start + group.times[1] * {"ns": 1, "us": 1_000, "ms": 1_000_000}[found] == start + odd_ns
    _, by_source, _ = group_rows([Row(layout, start, (1.0,), source_ns=start - odd_ns)])
    assert by_source == unit


def test_ids_are_ulids_that_sort_by_time() -> None:
    ids = [ulid(ms * 1_000_000) for ms in (0, 1, 1_700_000_000_000, 2**48 - 1)]
    assert ids == sorted(ids)
    assert all(is_ulid(i) for i in ids)
    assert len({ulid(0) for _ in range(100)}) == 100
    assert not any(map(is_ulid, ["", ids[0][:-1], ids[0].lower(), "8" + ids[0][1:], ids[0] + "0"]))


def test_every_quality_code_keeps_its_class_and_unknown_ones_theirs() -> None:
    assert all(tolerant(int(q)) == q for q in Quality)
    assert {severity(q) for q in Quality if 0 < q < 64} == {Severity.UNCERTAIN}
    assert {severity(q) for q in Quality if q >= 64} == {Severity.BAD}
    assert (tolerant(63), tolerant(127)) == (Quality.UNKNOWN_CODE, Quality.BAD)
    assert (tolerant(-1), tolerant(1000)) == (Quality.BAD, Quality.BAD)
    assert worst(Quality.RATE, Quality.RANGE) == Quality.RANGE
    assert worst(Quality.RATE, Quality.JUMP) == Quality.RATE
    assert all(0 <= q <= 127 for q in Quality)


def test_the_schema_of_a_message_names_its_short_fields() -> None:
    schema = message_schema("batch")
    batch = schema["$defs"]["Batch"]
    assert {"v", "g", "st", "s0", "t0", "b"} <= set(batch["properties"])
    assert "additionalProperties" not in batch  # unknown fields are allowed on the wire


def test_an_unknown_change_of_an_alarm_is_refused_with_its_name() -> None:
    fields = {**msgspec.to_builtins(ALARM), "change": "vanished"}
    with pytest.raises(msgspec.ValidationError, match="vanished"):
        msgspec.convert(fields, Alarm)
