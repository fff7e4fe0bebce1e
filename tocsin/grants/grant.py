"""Issue and verify grants; the capability keys of locks without signatures (profile A)."""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import Claims, decode_claims, encode_claims, holder_id
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.primitives import is_signed, mac, sign
from tocsin.grants.sign1 import sign1, verified

GRANT_BYTES: Final = 160  # no grant is longer: it fits one write at the smallest MTU we ask for
PROOF_UNLOCK: Final = b"UNLK1"
PROOF_RESCUE: Final = b"RSCU1"
PROOF_HOLD: Final = b"HOLD1"  # signed beside the account's name, to show that a key is its own


class Grant(msgspec.Struct, frozen=True):
    """A grant whose signature holds, with its bytes."""

    claims: Claims
    raw: bytes


def issue(claims: Claims, *, kid: bytes, seed: bytes) -> Grant:
    """A grant signed with the issuer's key `seed` (Ed25519, 32 bytes), known to locks as `kid` (2 bytes).

    Raises GrantRefusedError where a lock would not read the claims.
    """
    raw = sign1(encode_claims(claims), kid=kid, seed=seed)
    if len(raw) > GRANT_BYTES:
        raise GrantRefusedError(
            LockRefusal.MALFORMED, f"a grant of {len(raw)} bytes, at most {GRANT_BYTES}"
        )
    return Grant(claims, raw)


def verify(raw: bytes, issuers: IssuerKeys) -> Grant:
    """A grant of one of the issuer's keys; whether it is for this lock and this hour is `check`'s to say.

    Raises GrantRefusedError: `malformed`, `bad-signature`, `outside-window` for a window wider than any may be.
    """
    if len(raw) > GRANT_BYTES:
        raise GrantRefusedError(
            LockRefusal.MALFORMED, f"{len(raw)} bytes, a grant has at most {GRANT_BYTES}"
        )
    return Grant(decode_claims(verified(raw, issuers)), raw)


def check(claims: Claims, *, lock_id: bytes, now_s: int, min_ctr: int = 0) -> None:
    """Whether a grant is for this lock and in force at `now_s` (Unix seconds).

    Raises GrantRefusedError: `wrong-lock`, `outside-window`, `revoked`, in this order.
    """
    if claims.aud != lock_id:
        raise GrantRefusedError(
            LockRefusal.WRONG_LOCK, f"for lock {claims.aud.hex()}, not {lock_id.hex()}"
        )
    if not claims.nbf <= now_s < claims.exp:
        what = f"begins in {claims.nbf - now_s} s" if now_s < claims.nbf else "is over"
        raise GrantRefusedError(LockRefusal.OUTSIDE_WINDOW, f"the grant {what}")
    if claims.ctr < min_ctr:
        raise GrantRefusedError(
            LockRefusal.REVOKED, f"grant number {claims.ctr} is below {min_ctr}"
        )


def holder_message(purpose: bytes, nonce: bytes, lock_id: bytes, cti: bytes) -> bytes:
    """What a holder signs: PROOF_UNLOCK or PROOF_RESCUE, the lock's (or gateway's) nonce of 16 bytes, lock and grant."""
    return purpose + nonce + lock_id + cti


def prove(seed: bytes, purpose: bytes, nonce: bytes, lock_id: bytes, cti: bytes) -> bytes:
    """The holder's signature, 64 bytes, made on the holder's own device."""
    return sign(seed, holder_message(purpose, nonce, lock_id, cti))


def check_holder(
    claims: Claims, public: bytes, signature: bytes, *, purpose: bytes, nonce: bytes
) -> None:
    """Whether the one who signed is the grant's holder. Raises GrantRefusedError (`bad-holder-proof`)."""
    if holder_id(public) != claims.sub:
        raise GrantRefusedError(LockRefusal.BAD_HOLDER_PROOF, "the key is not the holder's")
    message = holder_message(purpose, nonce, claims.aud, claims.cti)
    if not is_signed(public, signature, message):
        raise GrantRefusedError(LockRefusal.BAD_HOLDER_PROOF, "the holder's signature fails")


def capability_key(lock_key: bytes, claims: bytes) -> bytes:
    """K_grant (profile A): what the cloud gives a gateway in place of the lock's key. `claims` are their exact bytes."""
    return mac(lock_key, b"GRANT1", claims)
