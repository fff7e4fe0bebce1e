"""A dead letter in words: as far as its bytes can be read, and never an exception."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.explain import MENDS, explain
from tocsin.contract import topics
from tocsin.contract.codec import Codec, encode
from tocsin.contract.columns import Layout, Row, group_rows
from tocsin.contract.messages import VERSION, Batch
from tocsin.errors import WireReason

STREAM = "01JD0000000000000000000000"
T0 = 1_700_000_000_000_000_000


def letter(payload: bytes, reason: str = "bad-reading", **more: Any) -> dict[str, Any]:
    told = {
        "id": 7, "reason": reason, "detail": "row 1: 'x' is not of type 'f'", "device": "", "quantity": "",
        "lo": 0, "hi": 0, "topic": topics.up("plant", "gw-1", topics.TELEMETRY), "payload": payload,
        "payload_bytes": len(payload),
    }  # fmt: skip
    return told | more


def message(codec: Codec = "jn") -> bytes:
    rows = [Row(Layout(f"gas-{d}", "gas", ("h2s", "o2"), "ff"), T0 + i * 10**9, (i / 2, 20.9)) for d in "ab" for i in range(3)]  # fmt: skip
    t0, unit, groups = group_rows(rows)
    return encode(Batch(VERSION, "plant", "gw-1", STREAM, 100, t0, groups, unit), codec)


@pytest.mark.parametrize("codec", ["jn", "jd", "mn", "md"])
def test_the_row_and_the_value_are_shown(codec: Codec) -> None:
    told = explain(letter(message(codec), device="gas-b", quantity="h2s", lo=104, hi=105))
    assert told.message is not None
    assert (told.message["first"], told.message["rows"]) == (100, 6)
    assert told.line == {
        "number": 104,
        "time": "2023-11-14T22:13:21Z",
        "device": "gas-b",
        "measurement": "gas",
        "values": {"h2s": 0.5, "o2": 20.9},
    }
    assert told.cell == {"quantity": "h2s", "value": 0.5}
    assert told.found.startswith("bad-reading (gas-b h2s = 0.5, number 104): row 1")


def test_every_reason_has_its_advice() -> None:
    assert set(MENDS) == set(WireReason)
    assert all(text.endswith(".") for text in MENDS.values())


@pytest.mark.parametrize(
    ("detail", "advice"),
    [
        ("too-many-columns: gas has 256 quantities", "max_columns"),
        ("type-conflict: InfluxDB holds another type for this field", "another type"),
        ("influxdb-400: partial write: points beyond retention policy dropped=3", "lengthen"),
        ("influxdb-400: no", "what the store says"),
    ],
)
def test_what_a_store_said_is_answered_with_what_helps(detail: str, advice: str) -> None:
    assert advice in explain(letter(message(), "store-rejected", detail=detail)).mend


def test_a_message_that_was_cut_says_that_it_cannot_be_requeued() -> None:
    told = explain(letter(message(), "oversized", payload_bytes=2_000_000))
    assert "cannot be requeued" in told.mend


@given(body=st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda c: st.lists(c, max_size=3) | st.dictionaries(st.sampled_from("bdmktxu") | st.just("t0"), c, max_size=6)))  # fmt: skip
def test_whatever_stands_in_a_body_is_no_accident(body: object) -> None:
    data = json.dumps(body).encode()
    head = f"TOC1 jn {STREAM} {100:016x} {3:04x} ".encode()
    whole = b"%s%08x\n%s" % (head, zlib.crc32(data, zlib.crc32(head)), data)
    explain(letter(whole, lo=101, hi=102))


@given(raw=st.binary(max_size=200))
def test_bytes_that_are_no_message_are_explained_too(raw: bytes) -> None:
    told = explain(letter(raw, "bad-magic"))
    assert told.line is None
    assert told.mend
