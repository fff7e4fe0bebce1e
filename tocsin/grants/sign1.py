"""COSE_Sign1 (RFC 9052, 4.2) as we use it: tag 18, protected header exactly {alg: EdDSA, kid}, empty unprotected header.

Nothing is negotiated: another algorithm, a critical header or any other header is refused.
"""

from __future__ import annotations

from typing import Final, NoReturn

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants import cbor
from tocsin.grants.issuers import KID_BYTES, IssuerKeys
from tocsin.grants.primitives import SIGNATURE_BYTES, is_signed, sign

_TAG_SIGN1: Final = 18
_ALG, _KID, _EDDSA = 1, 4, -8
# "Signature1" as CBOR text: the only text there is, so the codec does without
_CONTEXT: Final = b"\x84\x6aSignature1"


class Sign1(msgspec.Struct, frozen=True):
    """A parsed object whose signature was not looked at yet."""

    kid: bytes
    protected: bytes
    payload: bytes
    signature: bytes


def sign1(payload: bytes, *, kid: bytes, seed: bytes, beside: bytes = b"") -> bytes:
    """`payload` signed. `beside` is the external data (RFC 9052, 4.3) that tells one kind of message from another."""
    protected = cbor.encode({_ALG: _EDDSA, _KID: kid})
    signature = sign(seed, to_sign(protected, payload, beside))
    return cbor.encode(cbor.Tagged(_TAG_SIGN1, (protected, {}, payload, signature)))


def parse_sign1(data: bytes) -> Sign1:
    """The parts of a COSE_Sign1. Raises GrantRefusedError (`malformed`)."""
    found = cbor.decode(data)
    if not isinstance(found, cbor.Tagged) or found.tag != _TAG_SIGN1:
        _refuse("this is no COSE_Sign1 with tag 18")
    parts = found.value
    if not isinstance(parts, tuple) or len(parts) != 4:
        _refuse("a COSE_Sign1 has four parts")
    protected, unprotected, payload, signature = parts
    if not isinstance(protected, bytes) or not isinstance(payload, bytes):
        _refuse("header and payload are no byte strings")
    if not isinstance(signature, bytes) or len(signature) != SIGNATURE_BYTES:
        _refuse("the signature has not 64 bytes")
    if unprotected != {}:
        _refuse("the unprotected header is not empty")
    header = cbor.decode(protected)
    if not isinstance(header, dict) or header.keys() != {_ALG, _KID}:
        _refuse("the protected header is not exactly alg and kid")
    if header[_ALG] != _EDDSA:
        _refuse("alg is not EdDSA (-8)")
    kid = header[_KID]
    if not isinstance(kid, bytes) or len(kid) != KID_BYTES:
        _refuse(f"kid has not {KID_BYTES} bytes")
    return Sign1(kid, protected, payload, signature)


def verified(data: bytes, issuers: IssuerKeys, *, beside: bytes = b"") -> bytes:
    """The payload of a COSE_Sign1 that one of the issuer's keys signed.

    Raises GrantRefusedError: `malformed`, `bad-signature`.
    """
    parts = parse_sign1(data)
    message = to_sign(parts.protected, parts.payload, beside)
    if not is_signed(issuers.key_of(parts.kid), parts.signature, message):
        raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, "the issuer's signature does not hold")
    return parts.payload


def to_sign(protected: bytes, payload: bytes, beside: bytes) -> bytes:
    """Sig_structure (RFC 9052, 4.4)."""
    return _CONTEXT + cbor.encode(protected) + cbor.encode(beside) + cbor.encode(payload)


def _refuse(detail: str) -> NoReturn:
    raise GrantRefusedError(LockRefusal.MALFORMED, detail)
