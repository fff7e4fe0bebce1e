"""Signed commands: any change, any other key and no key at all are refused."""

from __future__ import annotations

import hashlib
import hmac
import json

import msgspec
import pytest

from tests.contract.examples import COMMAND, KEY
from tocsin.contract import signing


@pytest.mark.parametrize("field", [f for f in COMMAND.__struct_fields__ if f != "sig"])
def test_changing_any_field_breaks_the_signature(field: str) -> None:
    value = getattr(COMMAND, field)
    changed = {**value, "extra": 1} if isinstance(value, dict) else value + type(value)(1)
    assert not signing.is_signed(msgspec.structs.replace(COMMAND, **{field: changed}), KEY)


@pytest.mark.parametrize("sig", ["", "0" * 64, COMMAND.sig[:-1], COMMAND.sig.upper(), "ß" * 64])
def test_another_signature_is_refused(sig: str) -> None:
    assert not signing.is_signed(msgspec.structs.replace(COMMAND, sig=sig), KEY)


def test_an_empty_key_signs_nothing() -> None:
    assert not signing.is_signed(signing.sign(COMMAND, b""), b"")


def test_the_signature_can_be_made_with_the_standard_library_alone() -> None:
    fields = json.loads(msgspec.json.encode(COMMAND))
    del fields["sig"]
    body = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hmac.new(KEY, body.encode(), hashlib.sha256).hexdigest() == COMMAND.sig
