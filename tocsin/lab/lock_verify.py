"""What verifying a grant costs on this machine: as a gateway does it, and Ed25519 alone beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec

from tocsin.grants.claims import Claims, Op, holder_id
from tocsin.grants.grant import PROOF_UNLOCK, check, check_holder, issue, prove, verify
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.primitives import public_key
from tocsin.grants.sign1 import parse_sign1, to_sign

KID, ISSUER, HOLDER = b"\x00\x01", bytes(range(32)), bytes(range(32, 64))  # the bench's own keys
BATCHES = 10


class VerifyFigure(msgspec.Struct, frozen=True):
    """Microseconds of CPU time, the median of ten batches.

    `grant_us`: bytes to claims that hold (COSE, CWT, signature) and are for this lock and hour. `holder_us`: the holder's
    proof beside it. `ed25519_us`: one verification by the `cryptography` package alone, the key loaded before.
    """

    rounds: int
    grant_bytes: int
    grant_us: float
    holder_us: float
    ed25519_us: float
    ratio_to_ed25519: float


def bench_claims(lock_id: bytes, now_s: int, number: int, **changes: Any) -> Claims:
    """Claims of the bench's holder that are good now; `number` tells one grant from the next."""
    said: dict[str, Any] = {
        "cti": number.to_bytes(8, "big"), "sub": holder_id(public_key(HOLDER)), "aud": lock_id,
        "nbf": now_s - 60, "exp": now_s + 1500, "pmt": b"bench-01", "ctr": number, "ops": Op.UNLOCK | Op.RELOCK,
    }  # fmt: skip
    return Claims(**(said | changes))


def measure_verify(rounds: int) -> VerifyFigure:
    """So many rounds of each, batch by batch in turn, so that a busy moment falls on all of them."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    lock_id, nonce, now_s = b"lock-001", bytes(16), int(time.time())
    grant = issue(bench_claims(lock_id, now_s, 1), kid=KID, seed=ISSUER)
    issuers, holder = IssuerKeys({KID: public_key(ISSUER)}), public_key(HOLDER)
    proof = prove(HOLDER, PROOF_UNLOCK, nonce, lock_id, grant.claims.cti)
    parts = parse_sign1(grant.raw)
    key = Ed25519PublicKey.from_public_bytes(public_key(ISSUER))
    signed = to_sign(parts.protected, parts.payload, b"")

    def of_gateway() -> None:
        check(verify(grant.raw, issuers).claims, lock_id=lock_id, now_s=now_s)

    def of_holder() -> None:
        check_holder(grant.claims, holder, proof, purpose=PROOF_UNLOCK, nonce=nonce)

    def alone() -> None:
        key.verify(parts.signature, signed)

    each = max(1, rounds // BATCHES)
    took = [
        tuple(_cpu_us(one, each) for one in (of_gateway, of_holder, alone)) for _ in range(BATCHES)
    ]
    grant_us, holder_us, ed25519_us = (median(column) for column in zip(*took, strict=True))
    return VerifyFigure(
        each * BATCHES,
        len(grant.raw),
        round(grant_us, 1),
        round(holder_us, 1),
        round(ed25519_us, 1),
        round(grant_us / ed25519_us, 2),
    )


def _cpu_us(work: Callable[[], None], rounds: int) -> float:
    began_ns = time.thread_time_ns()
    for _ in range(rounds):
        work()
    return (time.thread_time_ns() - began_ns) / 1e3 / rounds
