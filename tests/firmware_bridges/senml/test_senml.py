"""SenML packs: the RFC's own examples, its rules, and the way there and back."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.senml.packs import read_pack, write_cbor, write_json
from firmware_bridges.senml.records import Record, resolve, to_pack
from firmware_bridges.senml.units import from_senml, to_senml
from tocsin.contract.units import all_units
from tocsin.errors import CodecError, CodecReason

MAC = "urn:dev:ow:10e2073a0108006:"


def records(text: str) -> list[Record]:
    return resolve(read_pack(text.encode()))


def test_base_fields_hold_until_the_next_of_the_same_name() -> None:
    found = records(
        '[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e9,"bu":"A","bver":5,'
        '"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2},'
        '{"bn":"urn:dev:x:","bu":"Cel","n":"t","v":20}]'
    )
    assert found[0] == Record(MAC + "voltage", 120.1, "V", 1276020076.001)
    assert found[1] == Record(MAC + "current", 1.2, "A", 1276020071.001)
    assert found[2] == Record("urn:dev:x:t", 20, "Cel", 1276020076.001)


def test_base_values_are_added_and_stand_for_missing_ones() -> None:
    found = records('[{"bn":"p","bv":100,"bs":7,"v":5,"s":1},{"u":"m"},{"vb":true}]')
    assert [(r.value, r.sum) for r in found] == [(105, 8), (100, 7), (True, 7)]


def test_all_four_kinds_of_value_and_a_sum_alone() -> None:
    found = records(
        '[{"n":"a","v":-1.5},{"n":"b","vs":"x"},{"n":"c","vb":false},{"n":"d","vd":"_-8"},{"n":"e","s":3}]'
    )
    assert [r.value for r in found] == [-1.5, "x", False, b"\xff\xef", None]
    assert found[4].sum == 3


def test_small_times_count_from_the_receipt() -> None:
    early, now, absolute = records(
        '[{"n":"a","v":1,"t":-30},{"n":"a","v":1},{"n":"a","v":1,"t":1.7e9}]'
    )
    assert (early.at_s(1.7e9), now.at_s(1.7e9), absolute.at_s(5.0)) == (1.7e9 - 30, 1.7e9, 1.7e9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"n":"a","v":1,"x_":0}]', CodecReason.UNSUPPORTED),
        ('[{"bver":11,"n":"a","v":1}]', CodecReason.UNSUPPORTED),
        ('[{"n":"a","v":1,"vs":"x"}]', CodecReason.BAD_FIELD),
        ('[{"n":"a"}]', CodecReason.BAD_FIELD),
        ('[{"v":1}]', CodecReason.BAD_FIELD),
        ('[{"n":"-a","v":1}]', CodecReason.BAD_FIELD),
        ('[{"n":"a b","v":1}]', CodecReason.BAD_FIELD),
        ('[{"n":"a","v":"1"}]', CodecReason.BAD_FIELD),
        ('[{"n":"a","v":true}]', CodecReason.BAD_FIELD),
        ('[{"n":"a","v":1,"t":"now"}]', CodecReason.BAD_FIELD),
        ('[{"n":"a","vb":1}]', CodecReason.BAD_FIELD),
        ('[{"n":"a","v":1}', CodecReason.FRAMING),
        ("[7]", CodecReason.FRAMING),
        ('{"n":"a","v":1}', CodecReason.FRAMING),
        ("", CodecReason.FRAMING),
    ],
)
def test_what_the_rfc_forbids_is_refused(text: str, reason: CodecReason) -> None:
    with pytest.raises(CodecError) as caught:
        records(text)
    assert caught.value.reason is reason


def test_unknown_labels_that_need_not_be_understood_are_passed_over() -> None:
    assert records('[{"n":"a","v":1,"colour":"red"}]') == [Record("a", 1)]


def test_cbor_may_write_numbers_as_decimal_fractions() -> None:
    pack = cbor2.dumps([{0: "a", 2: Decimal("23.1")}])
    (record,) = resolve(read_pack(pack))
    assert record.value == 23.1
    for never in (Decimal("NaN"), Decimal("1e999"), Decimal("Infinity")):
        with pytest.raises(CodecError):
            list(resolve(read_pack(cbor2.dumps([{0: "a", 2: never}]))))


def test_cbor_has_the_short_labels_and_ends_with_its_array() -> None:
    pack = [{-2: MAC, -3: 1.276020076e9, -4: "A", -1: 5, 0: "voltage", 1: "V", 2: 120.1}]
    assert resolve(read_pack(cbor2.dumps(pack))) == [
        Record(MAC + "voltage", 120.1, "V", 1.276020076e9)
    ]
    with pytest.raises(CodecError) as caught:
        read_pack(cbor2.dumps(pack) + b"\x00")
    assert caught.value.reason is CodecReason.LENGTH


name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,30}", fullmatch=True)
number = st.integers(-(2**40), 2**40) | st.floats(-1e12, 1e12)
value = number | st.booleans() | st.text(max_size=20) | st.binary(max_size=20)
time = st.none() | st.integers(2**28 + 10**9, 2**33).map(float)
record = st.builds(Record, name, value, st.none() | st.sampled_from(["V", "Cel"]), time)


@given(st.lists(record, max_size=20))
def test_packs_come_back_from_json_and_cbor(told: list[Record]) -> None:
    if any(r.time_s is None for r in told):  # `now` has no place beside absolute times
        told = [Record(r.name, r.value, r.unit) for r in told]
    pack = to_pack(told)
    assert resolve(read_pack(write_json(pack))) == told
    assert resolve(read_pack(write_cbor(pack))) == told
    assert [set(r) & {"bn", "bt"} for r in json.loads(write_json(pack))[1:]] == [set()] * (
        len(told) - 1 if told else 0
    )


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(data: bytes) -> None:
    for given_bytes in (data, b"[" + data, b"\x81" + data, b"\x81\xa2\x00" + data):
        with suppress(CodecError):
            resolve(read_pack(given_bytes))


def test_units_that_senml_knows_come_back_as_the_same_quantity() -> None:
    for unit in all_units():
        told, way = to_senml(unit)
        if told is not None and way.is_identity and unit not in ("%{vol}", "%{LEL}", "mbar"):
            assert from_senml(told) == unit
    assert to_senml("kPa")[0] == "Pa"
    assert to_senml("kPa")[1](101.3) == pytest.approx(101_300)
    assert to_senml("uS/cm")[1](1500) == pytest.approx(0.15)
