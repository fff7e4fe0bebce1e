"""The codec against arbitrary bodies and against hostile bytes: only `WireError` may come out."""

from __future__ import annotations

import math
import zlib
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.contract.examples import ALARM, BATCH, EVENT, STREAM
from tests.contract.hostile import HOSTILE, deflated, sealed
from tocsin.contract import codec
from tocsin.contract.codec import CODECS, Codec, Header, decode_body, decode_header, encode
from tocsin.contract.messages import Alarm, Batch, Event, Group
from tocsin.errors import WireError, WireReason

BODIES: list[Batch | Alarm | Event] = [BATCH, ALARM, EVENT]
KINDS: list[type[Batch] | type[Alarm] | type[Event]] = [Batch, Alarm, Event]
int64 = st.integers(-(2**63), 2**63 - 1)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
cells = st.one_of(
    st.none(), st.booleans(), int64, st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """A group whose columns fit together."""
    quantities = tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    rows = draw(st.integers(1, 4))
    column = st.lists(cells, min_size=rows, max_size=rows)
    offsets = st.integers(-(2**40), 2**40)
    return Group(
        device=draw(names),
        measurement=draw(names),
        quantities=quantities,
        types="".join(draw(st.sampled_from("fibs")) for _ in quantities),
        times=draw(st.lists(offsets, min_size=rows, max_size=rows)),
        columns=[draw(column) for _ in quantities],
        quality=draw(st.lists(st.tuples(*[st.integers(0, 127)] * 3), max_size=3)),
        source_times=draw(st.none() | st.lists(st.none() | offsets, min_size=rows, max_size=rows)),
        raw={q: ("mA", draw(column)) for q in quantities[:1] if draw(st.booleans())},
    )


batches = st.builds(
    Batch,
    version=st.just(1),
    site=names,
    gateway=names,
    stream=st.just(STREAM),
    first_seq=st.integers(0, 2**62),
    t0=int64,
    tu=st.sampled_from(["ns", "us", "ms"]),
    epoch=st.integers(0, 2**40),
    groups=st.lists(groups(), min_size=1, max_size=3),
)


def decode(data: bytes, kind: type[Batch] | type[Alarm] | type[Event]) -> Batch | Alarm | Event:
    return decode_body(decode_header(data), data, kind)


def refused(data: bytes, kind: type[Batch] | type[Alarm] | type[Event] = Batch) -> WireReason:
    with pytest.raises(WireError) as caught:
        decode(data, kind)
    assert caught.value.reason.value in str(caught.value)
    return caught.value.reason


@given(batches, st.sampled_from(CODECS))
def test_every_batch_comes_back_as_it_was(batch: Batch, code: Codec) -> None:
    data = encode(batch, code)
    header = decode_header(data)
    assert (header.first_seq, header.rows) == (batch.first_seq, batch.rows)
    again = decode_body(header, data, Batch)
    assert again == batch
    pairs = zip(batch.groups, again.groups, strict=True)
    for mine, theirs in pairs:  # 1 == 1.0 == True: equality alone would hide a changed type
        assert [[type(v) for v in c] for c in theirs.columns] == [
            [type(v) for v in c] for c in mine.columns
        ]


@given(batches)
def test_the_two_encodings_mean_the_same(batch: Batch) -> None:
    assert decode(encode(batch, "jd"), Batch) == decode(encode(batch, "mn"), Batch)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(CODECS))
@example(-0.0, "jn")
@example(5e-324, "jn")
@example(1.7976931348623157e308, "jn")
def test_a_float_keeps_every_bit(value: float, code: Codec) -> None:
    alarm = msgspec.structs.replace(ALARM, value=value)
    again = decode(encode(alarm, code), Alarm)
    assert isinstance(again, Alarm)
    assert again.value is not None
    assert math.copysign(1.0, again.value) == math.copysign(1.0, value)
    assert again.value == value


@pytest.mark.parametrize("code", CODECS)
@pytest.mark.parametrize("body", BODIES)
def test_no_single_flipped_bit_is_accepted(body: Batch | Alarm | Event, code: Codec) -> None:
    data = encode(body, code)
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            refused(bytes(damaged), type(body))


@pytest.mark.parametrize("code", CODECS)
def test_no_cut_or_prolonged_message_is_accepted(code: Codec) -> None:
    data = encode(BATCH, code)
    for length in range(len(data)):
        refused(data[:length])
    for tail in (b"\0", b"\n", b" ", data):
        refused(data + tail)


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_random_bytes_give_nothing_but_a_wire_error(
    data: bytes, kind: type[Batch] | type[Alarm] | type[Event]
) -> None:
    refused(data, kind)


@given(st.binary(max_size=60))
def test_a_header_of_random_bytes_gives_nothing_but_a_wire_error(noise: bytes) -> None:
    refused(b"TOC1 " + noise + b" " * (61 - len(noise)) + b"{}")


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    st.sampled_from(CODECS),
    st.sampled_from(KINDS),
)
def test_random_bodies_under_a_right_checksum_give_nothing_but_a_wire_error(
    body: bytes, code: Codec, kind: type[Batch] | type[Alarm] | type[Event]
) -> None:
    refused(sealed(deflated(body) if code[1] == "d" else body, code), kind)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data(), st.sampled_from(["j", "m"]), st.sampled_from(BODIES))
def test_a_field_of_another_type_gives_a_body_or_a_wire_error(
    data: st.DataObject, encoding: str, body: Batch | Alarm | Event
) -> None:
    fields = msgspec.to_builtins(body)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(json_values)
    raw = msgspec.json.encode(fields) if encoding == "j" else msgspec.msgpack.encode(_small(fields))
    rows, seq = (6, 42) if isinstance(body, Batch) else (1, body.seq)
    with suppress(WireError):
        decode(sealed(raw, f"{encoding}n", rows=rows, seq=seq), type(body))


def _small(value: object) -> object:
    """Integers that MessagePack can hold."""
    if isinstance(value, dict):
        return {key: _small(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_small(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(2**63), min(value, 2**64 - 1))
    return value


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bodies_are_named(case: str) -> None:
    body, code, reason = HOSTILE[case]
    assert refused(sealed(body, code)) is reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"TOC1 jn", WireReason.TRUNCATED),
        (b"x" * 80, WireReason.BAD_MAGIC),
        (b"TOC2" + encode(BATCH)[4:], WireReason.WRONG_VERSION),
        (b" " * (codec.MAX_MESSAGE_BYTES + 1), WireReason.OVERSIZED),
        (sealed(b"{}", "jx"), WireReason.BAD_HEADER),
        (sealed(b"{}").replace(STREAM.encode(), STREAM.lower().encode()), WireReason.BAD_HEADER),
        (sealed(b"{}", rows=0), WireReason.BAD_HEADER),
        (sealed(b"{}", seq=2**63 - 3), WireReason.BAD_HEADER),
        (sealed(b"{}", seq=2**63), WireReason.BAD_HEADER),
        (sealed(msgspec.json.encode(BATCH), rows=5), WireReason.HEADER_MISMATCH),
        (sealed(msgspec.json.encode(BATCH), seq=43), WireReason.HEADER_MISMATCH),
        (sealed(msgspec.json.encode(BATCH).replace(b'{"v":1', b'{"v":2')), WireReason.WRONG_VERSION),
        (sealed(msgspec.json.encode(ALARM)), WireReason.WRONG_TYPE),
    ],
)  # fmt: skip
def test_each_kind_of_damage_has_its_reason(data: bytes, reason: WireReason) -> None:
    assert refused(data) is reason


@pytest.mark.parametrize(
    "spelling", [b"000000000000002A", b"+00000000000002a", b"0x0000000000002a", b"0000000_0000002a"]
)
def test_a_number_has_one_spelling(spelling: bytes) -> None:
    head = b"TOC1 jn %s %s 0006 " % (STREAM.encode(), spelling)
    body = msgspec.json.encode(BATCH)
    data = b"%s%08x\n%s" % (head, zlib.crc32(body, zlib.crc32(head)), body)
    assert refused(data) is WireReason.BAD_HEADER


def test_the_header_is_readable_where_the_body_is_poison() -> None:
    header = decode_header(sealed(b"\xff not a body", rows=9, seq=11))
    assert header == Header("jn", STREAM, 11, 9, header.crc)


def test_nothing_is_sealed_that_no_one_would_accept() -> None:
    with pytest.raises(WireError, match="oversized"):
        encode(msgspec.structs.replace(EVENT, text="x" * codec.MAX_MESSAGE_BYTES))
    with pytest.raises(WireError, match="without rows"):
        encode(msgspec.structs.replace(BATCH, groups=[]))
    wide = msgspec.structs.replace(BATCH.groups[1], times=list(range(codec.MAX_ROWS + 1)))
    with pytest.raises(WireError, match="oversized"):
        encode(msgspec.structs.replace(BATCH, groups=[wide]), "md")
