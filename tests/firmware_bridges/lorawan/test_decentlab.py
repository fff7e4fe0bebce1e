"""Decentlab payloads and the data that says what their words mean."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridges.lorawan.decentlab import decode
from firmware_bridges.lorawan.describe import describe
from firmware_bridges.lorawan.formula import Scope, compile_formula, evaluate, names_in
from firmware_bridges.lorawan.models import (
    SensorModel,
    load_payload_file,
    model_of,
    payload_names,
    shipped,
)
from tocsin.errors import CodecError, CodecReason, ConfigError
from tocsin.sdk.codec import FrameInput

FILE = """\
schema = 1

[payload]
name = "mine"
protocol = "decentlab"

[models.A]
parameters = { k = 2 }
sensors = [{ words = 1, values = [{ name = "a", is = "x[0] / k" }] }]
"""


def model(name: str) -> SensorModel:
    found = model_of(shipped("decentlab"), name)
    assert found is not None
    return found


def values(name: str, payload: str, **parameters: float) -> dict[str, float | None]:
    found = decode(bytes.fromhex(payload), model(name), parameters)
    return {r.name: r.value for r in found.readings}


def test_a_device_s_own_numbers_replace_the_model_s() -> None:
    payload = "0202f8000300040258409a00000c54"
    assert values("DL-TBRG", payload)["Precipitation"] == pytest.approx(0.4)
    assert values("DL-TBRG", payload, resolution=0.2)["Precipitation"] == pytest.approx(0.8)


def test_a_value_that_the_words_do_not_give_is_none_and_the_others_stand() -> None:
    # black globe: a ratio of 0 would divide by zero
    found = values("DL-BLG", "0230c500030000" + "0080" + "0c60")
    assert found == {
        "Voltage ratio": 0,
        "Thermistor resistance": None,
        "Temperature": None,
        "Battery voltage": 3.168,
    }


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", CodecReason.TRUNCATED),
        ("02", CodecReason.TRUNCATED),
        ("0102f80002" + "0c54", CodecReason.UNSUPPORTED),
        ("0202f80003" + "0c54", CodecReason.TRUNCATED),
        ("0202f80002" + "0c", CodecReason.TRUNCATED),
        ("0202f80002" + "0c5400", CodecReason.LENGTH),
        ("0202f80004" + "0c54", CodecReason.BAD_FIELD),
    ],
)
def test_a_payload_that_is_not_the_model_s_is_refused(payload: str, reason: CodecReason) -> None:
    with pytest.raises(CodecError) as caught:
        values("DL-TBRG", payload)
    assert caught.value.reason is reason


@given(st.sampled_from(sorted(shipped("decentlab").models)), st.data())
def test_any_words_are_read_by_every_model(name: str, data: st.DataObject) -> None:
    sensors = model(name).sensors
    words = data.draw(st.binary(min_size=2 * sum(s.words for s in sensors), max_size=200))
    words = words[: 2 * sum(s.words for s in sensors)]
    found = decode(struct.pack(">BHH", 2, 1, (1 << len(sensors)) - 1) + words, model(name))
    assert {r.name for r in found.readings} == set(model(name).value_names)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "x.y",
        "[1]",
        "x[0] ** 2",
        "open('a')",
        "(lambda: 1)()",
        "True",
        "'a'",
        "1 if",
        "pow(1)",
        "x[0" * 99,
    ],
)
def test_a_formula_is_arithmetic_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        compile_formula(text)


@given(st.text(max_size=40))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        formula = compile_formula(text)
    except ValueError:
        return
    evaluate(formula, Scope((1, 2), dict.fromkeys(names_in(text), 1.0)))


@pytest.mark.parametrize(
    ("wrong", "line", "says"),
    [
        ("x[0] / q", 9, "nothing is called q"),
        ("x[0] **", 9, "formula"),
        ("import os", 9, "formula"),
    ],
)
def test_a_mistake_in_a_payload_file_is_named_with_its_line(
    tmp_path: Path, wrong: str, line: int, says: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace("x[0] / k", wrong), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_payload_file(path)
    (problem,) = caught.value.problems
    assert says in problem.allowed
    assert problem.line in (7, 8, line)


def test_shipped_payload_files_are_sound_and_named_as_their_file() -> None:
    assert payload_names() == ["decentlab"]
    assert len(shipped("decentlab").models) >= 60


def test_a_model_in_small_letters_is_answered_with_the_nearest() -> None:
    with pytest.raises(CodecError, match=r"did you mean DL-10HS\?"):
        describe(FrameInput(bytes.fromhex("0202df000393710c60"), device="dl-10hs"))
