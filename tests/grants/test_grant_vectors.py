"""The published vectors are what the code makes of the same seeds; pycose, which is not ours, agrees with them."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from pycose.exceptions import CoseException
from pycose.headers import KID as KID_HEADER
from pycose.headers import Algorithm
from pycose.keys import OKPKey
from pycose.messages import Sign1Message

from scripts import grant_vectors
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.att import ATT_CODES
from tocsin.grants.grant import check, verify

STORED: dict[str, Any] = json.loads(grant_vectors.FILE.read_text("utf-8"))


def by_pycose(raw: bytes, beside: bytes = b"") -> bytes | None:
    """The payload, if pycose finds the signature good. pycose of 2023 wants lists and dicts from cbor2."""
    tagged = cbor2.loads(raw)
    if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != 18:
        return None
    parts = [dict(part) if not isinstance(part, bytes) else part for part in tagged.value]
    message = Sign1Message.from_cose_obj(parts, allow_unknown_attributes=False)
    kid = message.phdr[KID_HEADER].hex()
    if kid not in STORED["issuers"] or message.phdr[Algorithm].__name__ != "EdDSA":
        return None
    message.key = OKPKey(crv="ED25519", x=bytes.fromhex(STORED["issuers"][kid]))
    message.external_aad = beside
    return message.payload if message.verify_signature() else None


def test_the_vectors_are_reproducible() -> None:
    assert grant_vectors.FILE.read_text("utf-8") == grant_vectors.text(), (
        "run: python -m scripts.grant_vectors"
    )


@pytest.mark.parametrize("vector", STORED["grants"], ids=lambda v: v["name"])
def test_pycose_verifies_our_grants(vector: dict[str, str]) -> None:
    raw = bytes.fromhex(vector["grant"])
    assert by_pycose(raw) == bytes.fromhex(vector["claims"])
    assert verify(raw, grant_vectors.issuers()).raw == raw


@pytest.mark.parametrize("vector", STORED["orders"], ids=lambda v: v["kind"])
def test_pycose_verifies_our_orders_and_only_with_their_kind(vector: dict[str, str]) -> None:
    raw = bytes.fromhex(vector["signed"])
    assert by_pycose(raw, vector["kind"].encode()) == bytes.fromhex(vector["payload"])
    assert by_pycose(raw) is None


@pytest.mark.parametrize("vector", STORED["refused"], ids=lambda v: v["name"])
def test_what_must_be_refused_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(GrantRefusedError) as refused:
        check(
            verify(bytes.fromhex(vector["grant"]), grant_vectors.issuers()).claims,
            lock_id=bytes.fromhex(STORED["lock_id"]),
            now_s=vector["now"],
            min_ctr=vector["min_ctr"],
        )
    assert refused.value.reason.value == vector["reason"]
    assert ATT_CODES[refused.value.reason] == vector["att"]


NOT_FOR_COSE_TO_REFUSE = {
    "one byte more",  # cbor2 reads one item and leaves the rest
    "unprotected header",  # COSE allows one; we have no use for it
    "claims out of order, truly signed",  # COSE does not look into the payload
    "other lock",
    "not yet",
    "over",
    "revoked",
}


@pytest.mark.parametrize("vector", STORED["refused"], ids=lambda v: v["name"])
def test_pycose_refuses_what_we_refuse_as_far_as_it_is_coses_to_refuse(
    vector: dict[str, Any],
) -> None:
    try:
        payload = by_pycose(bytes.fromhex(vector["grant"]))
    except (
        CoseException,
        cbor2.CBORDecodeError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as broken:
        assert vector["att"] == ATT_CODES[LockRefusal.MALFORMED], broken  # noqa: PT017
        return
    assert (payload is not None) == (vector["name"] in NOT_FOR_COSE_TO_REFUSE)
