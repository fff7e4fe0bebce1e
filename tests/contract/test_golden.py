"""Byte vectors that never change: what an older gateway sends must be readable for ever.

`TOCSIN_WRITE_GOLDEN=1 pytest tests/contract/test_golden.py` writes vectors that do not exist yet; it changes none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from tests.contract.examples import ALARM, BATCH, DIRECT, EVENT, JOURNALLED, KEY
from tocsin.contract import codec, signing
from tocsin.contract.messages import Command
from tocsin.contract.schemas import SCHEMAS

GOLDEN = Path(__file__).parent / "golden"
CASES = [(name, code) for name in JOURNALLED for code in codec.CODECS]


def vector(name: str, data: bytes) -> bytes:
    """The stored bytes; written first when that was asked for and they do not exist."""
    file = GOLDEN / f"{name}.bin"
    if os.environ.get("TOCSIN_WRITE_GOLDEN") and not file.exists():
        file.write_bytes(data)
    return file.read_bytes()


def described(name: str, data: object) -> object:
    """The stored meaning of a vector, as plain JSON."""
    file = GOLDEN / f"{name}.json"
    if os.environ.get("TOCSIN_WRITE_GOLDEN") and not file.exists():
        text = json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True)
        file.write_text(text + "\n", "utf-8")
    return json.loads(file.read_text("utf-8"))


@pytest.mark.parametrize("name", JOURNALLED)
def test_the_meaning_of_a_journalled_message_is_stored_beside_its_bytes(name: str) -> None:
    plain = msgspec.to_builtins(JOURNALLED[name])
    assert json.loads(json.dumps(plain)) == described(name, plain)


@pytest.mark.parametrize(("name", "code"), CASES)
def test_stored_bytes_decode_to_the_example(name: str, code: codec.Codec) -> None:
    body = JOURNALLED[name]
    data = vector(f"{name}-{code}", codec.encode(body, code))
    header = codec.decode_header(data)
    rows, first = (BATCH.rows, BATCH.first_seq) if name == "batch" else (1, getattr(body, "seq", 0))
    assert (header.codec, header.stream) == (code, body.stream)
    assert (header.first_seq, header.rows) == (first, rows)
    assert codec.decode_body(header, data, type(body)) == body


@pytest.mark.parametrize(("name", "code"), [case for case in CASES if case[1][1] == "n"])
def test_the_example_encodes_to_the_stored_bytes(name: str, code: codec.Codec) -> None:
    # deflated bytes depend on the machine's zlib; only what they inflate to is fixed
    assert codec.encode(JOURNALLED[name], code) == vector(f"{name}-{code}", b"")


@pytest.mark.parametrize("name", DIRECT)
def test_messages_without_header_keep_their_bytes(name: str) -> None:
    form = msgspec.msgpack if name == "evidence-part" else msgspec.json
    data = vector(name, form.encode(DIRECT[name]))
    assert form.decode(data, type=SCHEMAS[name]) == DIRECT[name]
    assert form.encode(DIRECT[name]) == data
    plain = json.loads(msgspec.json.encode(DIRECT[name]))
    assert plain == described(name, plain)


def test_a_stored_command_is_signed_and_no_other_key_fits() -> None:
    command = msgspec.json.decode(vector("command", b""), type=Command)
    assert signing.is_signed(command, KEY)
    assert not signing.is_signed(command, KEY + b"!")
    assert not signing.is_signed(command, b"")


def test_there_is_an_example_of_every_message() -> None:
    assert set(SCHEMAS) == set(JOURNALLED) | set(DIRECT)
    assert {type(BATCH), type(ALARM), type(EVENT)} == {SCHEMAS[name] for name in JOURNALLED}


def test_no_vector_is_left_over() -> None:
    stems = {f"{name}-{code}" for name, code in CASES} | set(DIRECT)
    assert {file.stem for file in GOLDEN.glob("*.bin")} == stems
