"""The gateway's own check before anything is sent: each way a grant can be wrong, with its word."""

from __future__ import annotations

from typing import Any

import pytest

from edge.locks.guard import COUNT_AGE_S, Gate, check_relock, check_rescue, check_unlock
from edge.locks.interface import Headcount, HolderProof
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import Claims, Op, holder_id
from tocsin.grants.grant import PROOF_RESCUE, PROOF_UNLOCK, issue, prove
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.primitives import public_key

NOW_S = 1_800_000_000
LOCK, GATEWAY, NONCE, KID = b"lock0001", b"gateway1", b"n" * 16, b"\x00\x01"
ISSUER, HOLDER, OTHER = b"i" * 32, b"h" * 32, b"o" * 32
GATE = Gate(GATEWAY, LOCK, IssuerKeys({KID: public_key(ISSUER)}), NOW_S * 10**9, knows_time=True)


def claims(**other: Any) -> Claims:
    said: dict[str, Any] = {
        "cti": b"grant-01",
        "sub": holder_id(public_key(HOLDER)),
        "aud": LOCK,
        "nbf": NOW_S - 60,
        "exp": NOW_S + 600,
        "pmt": b"permit-1",
        "ctr": 7,
        "ops": Op.UNLOCK | Op.RELOCK,
    }
    return Claims(**(said | other))


def signed(made: Claims, seed: bytes = ISSUER) -> bytes:
    return issue(made, kid=KID, seed=seed).raw


def proof(made: Claims, seed: bytes = HOLDER, purpose: bytes = PROOF_UNLOCK) -> HolderProof:
    return HolderProof(public_key(seed), prove(seed, purpose, NONCE, made.aud, made.cti))


def test_a_live_grant_of_this_holder_for_this_lock_passes() -> None:
    made = claims(gw=GATEWAY)
    assert check_unlock(GATE, signed(made), proof(made), nonce=NONCE).claims == made


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"aud": b"lock0002"}, LockRefusal.WRONG_LOCK),
        ({"nbf": NOW_S - 900, "exp": NOW_S}, LockRefusal.OUTSIDE_WINDOW),
        ({"nbf": NOW_S + 1}, LockRefusal.OUTSIDE_WINDOW),
        ({"ops": Op.RELOCK}, LockRefusal.NOT_ALLOWED),
        ({"gw": b"gateway2"}, LockRefusal.NOT_ALLOWED),
        ({"sub": b"somebody"}, LockRefusal.BAD_HOLDER_PROOF),
    ],
)
def test_a_grant_that_does_not_fit_is_refused(other: dict[str, Any], reason: LockRefusal) -> None:
    made = claims(**other)
    with pytest.raises(GrantRefusedError) as refused:
        check_unlock(GATE, signed(made), proof(made), nonce=NONCE)
    assert refused.value.reason is reason


def test_a_forged_issuer_a_stolen_grant_a_replayed_proof_and_an_old_counter_are_refused() -> None:
    made = claims()
    cases = [
        (GATE, signed(made, OTHER), proof(made), NONCE, LockRefusal.BAD_SIGNATURE),
        (GATE, signed(made), proof(made, OTHER), NONCE, LockRefusal.BAD_HOLDER_PROOF),
        (GATE, signed(made), proof(made), b"m" * 16, LockRefusal.BAD_HOLDER_PROOF),
        (_gate(min_ctr=8), signed(made), proof(made), NONCE, LockRefusal.REVOKED),
        (_gate(knows_time=False), signed(made), proof(made), NONCE, LockRefusal.TIME_UNKNOWN),
    ]
    for gate, raw, holder, nonce, reason in cases:
        with pytest.raises(GrantRefusedError) as refused:
            check_unlock(gate, raw, holder, nonce=nonce)
        assert refused.value.reason is reason


def _gate(**other: Any) -> Gate:
    said = {f: getattr(GATE, f) for f in GATE.__struct_fields__}
    return Gate(**(said | other))


@pytest.mark.parametrize("inside", [1, None])
def test_relock_over_anyones_head_is_refused(inside: int | None) -> None:
    with pytest.raises(GrantRefusedError) as refused:
        check_relock(GATE, signed(claims()), Headcount(inside, "zhang", GATE.now_ns))
    assert refused.value.reason is LockRefusal.OCCUPIED


def test_an_old_count_is_no_count_and_a_grant_that_ran_out_still_locks() -> None:
    old = Headcount(0, "zhang", GATE.now_ns - int((COUNT_AGE_S + 1) * 1e9))
    with pytest.raises(GrantRefusedError, match="count again"):
        check_relock(GATE, signed(claims()), old)
    ended = claims(nbf=NOW_S - 1200, exp=NOW_S - 600)
    fresh = Headcount(0, "zhang", GATE.now_ns)
    assert check_relock(GATE, signed(ended), fresh) == ended.cti
    assert check_relock(GATE, None, fresh) == bytes(8), "the inside handle opened"
    with pytest.raises(GrantRefusedError, match="1 inside"):
        check_relock(GATE, None, Headcount(1, "zhang", GATE.now_ns))


def test_a_rescue_takes_two_people() -> None:
    def rescue(seed: bytes, cti: bytes) -> Claims:
        return claims(
            ops=Op.RESCUE, cti=cti, sub=holder_id(public_key(seed)), exp=NOW_S + 20 * 3600
        )

    first, second = rescue(HOLDER, b"rescue-1"), rescue(OTHER, b"rescue-2")
    proofs = (proof(first, HOLDER, PROOF_RESCUE), proof(second, OTHER, PROOF_RESCUE))
    raws = [signed(first), signed(second)]
    assert [one.claims for one in check_rescue(GATE, raws, proofs, nonce=NONCE)] == [first, second]
    same = rescue(HOLDER, b"rescue-3")
    with pytest.raises(GrantRefusedError, match="two people"):
        check_rescue(
            GATE,
            [signed(first), signed(same)],
            (proofs[0], proof(same, HOLDER, PROOF_RESCUE)),
            nonce=NONCE,
        )
