"""Grants: issued once, read by every verifier, refused with the code that says why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.grant_vectors import GATEWAY, KID, LOCK_ID, NEXT_KID, NOW, claims, issuers, seed
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.att import ATT_CODES, refusal_of
from tocsin.grants.claims import MAX_CTR, Claims, Op, decode_claims, encode_claims, holder_id
from tocsin.grants.grant import (
    GRANT_BYTES,
    PROOF_RESCUE,
    PROOF_UNLOCK,
    capability_key,
    check,
    check_holder,
    issue,
    prove,
    verify,
)
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.primitives import public_key

IDS = st.binary(min_size=8, max_size=8)
NONCE = bytes(range(16))
CLAIMS = st.builds(
    lambda length, **rest: Claims(exp=min(rest["nbf"] + length, 2**32 - 1), **rest),
    length=st.integers(1, 1800),
    cti=IDS,
    sub=IDS,
    aud=IDS,
    nbf=st.integers(0, 2**32 - 2),
    pmt=IDS,
    ctr=st.integers(0, MAX_CTR),
    ops=st.sampled_from([Op.UNLOCK, Op.RELOCK, Op.UNLOCK | Op.RELOCK, Op.RESCUE]),
    uses=st.integers(1, 255),
    gw=st.none() | IDS,
)


def issued(**changes: object) -> bytes:
    return issue(claims(**changes), kid=KID, seed=seed("issuer 1")).raw


@given(CLAIMS)
def test_any_grant_verifies_as_issued_and_has_at_most_160_bytes(wanted: Claims) -> None:
    raw = issue(wanted, kid=KID, seed=seed("issuer 1")).raw
    assert len(raw) <= GRANT_BYTES
    assert verify(raw, issuers()).claims == wanted
    assert decode_claims(encode_claims(wanted)) == wanted


def test_a_flipped_bit_anywhere_is_refused() -> None:
    good = issued(gw=GATEWAY)
    verify(good, issuers())
    for at in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            with pytest.raises(GrantRefusedError) as refused:
                verify(bytes(bad), issuers())
            assert refused.value.reason in {LockRefusal.MALFORMED, LockRefusal.BAD_SIGNATURE}


def test_a_flipped_bit_in_the_claims_of_a_capability_gives_another_key() -> None:
    payload = encode_claims(claims(gw=GATEWAY))
    keys = {capability_key(seed("lock"), payload)}
    for at in range(len(payload)):
        for bit in range(8):
            bad = bytearray(payload)
            bad[at] ^= 1 << bit
            keys.add(capability_key(seed("lock"), bytes(bad)))
    assert len(keys) == 1 + 8 * len(payload)


@given(st.binary(max_size=200))
def test_bytes_from_anywhere_are_refused_and_harm_nothing(data: bytes) -> None:
    with pytest.raises(GrantRefusedError):
        verify(data, issuers())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW - 60 + 1801}, LockRefusal.OUTSIDE_WINDOW),
        ({"exp": NOW - 60}, LockRefusal.MALFORMED),
        ({"ops": Op.RESCUE, "exp": NOW - 60 + 86_401}, LockRefusal.OUTSIDE_WINDOW),
        ({"ops": Op.RESCUE | Op.UNLOCK}, LockRefusal.MALFORMED),
        ({"ops": Op(0)}, LockRefusal.MALFORMED),
        ({"uses": 0}, LockRefusal.MALFORMED),
        ({"uses": 256}, LockRefusal.MALFORMED),
        ({"cti": b"short"}, LockRefusal.MALFORMED),
        ({"gw": b"too long a gateway"}, LockRefusal.MALFORMED),
        ({"ctr": 2**32 - 1}, LockRefusal.MALFORMED),
        ({"nbf": -1}, LockRefusal.MALFORMED),
    ],
)
def test_claims_no_lock_would_take_are_not_issued(
    changes: dict[str, object], reason: LockRefusal
) -> None:
    with pytest.raises(GrantRefusedError) as refused:
        issued(**changes)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("now_s", "lock_id", "min_ctr", "reason"),
    [
        (NOW, LOCK_ID, 0, None),
        (NOW - 60, LOCK_ID, 17, None),
        (NOW + 1739, LOCK_ID, 0, None),
        (NOW - 61, LOCK_ID, 0, LockRefusal.OUTSIDE_WINDOW),
        (NOW + 1740, LOCK_ID, 0, LockRefusal.OUTSIDE_WINDOW),
        (NOW, b"lock-009", 0, LockRefusal.WRONG_LOCK),
        (NOW, LOCK_ID, 18, LockRefusal.REVOKED),
    ],
)
def test_a_grant_is_for_one_lock_one_window_and_until_revoked(
    now_s: int, lock_id: bytes, min_ctr: int, reason: LockRefusal | None
) -> None:
    if reason is None:
        check(claims(), lock_id=lock_id, now_s=now_s, min_ctr=min_ctr)
        return
    with pytest.raises(GrantRefusedError) as refused:
        check(claims(), lock_id=lock_id, now_s=now_s, min_ctr=min_ctr)
    assert refused.value.reason is reason


def test_only_the_holder_can_prove_and_only_for_one_nonce_and_purpose() -> None:
    proof = prove(seed("holder"), PROOF_UNLOCK, NONCE, LOCK_ID, b"grant-01")
    public = public_key(seed("holder"))
    check_holder(claims(), public, proof, purpose=PROOF_UNLOCK, nonce=NONCE)
    stolen = prove(seed("thief"), PROOF_UNLOCK, NONCE, LOCK_ID, b"grant-01")
    for key, signature, purpose, nonce in (
        (public_key(seed("thief")), stolen, PROOF_UNLOCK, NONCE),
        (public, stolen, PROOF_UNLOCK, NONCE),
        (public, proof, PROOF_UNLOCK, bytes(16)),
        (public, proof, PROOF_RESCUE, NONCE),
    ):
        with pytest.raises(GrantRefusedError) as refused:
            check_holder(claims(), key, signature, purpose=purpose, nonce=nonce)
        assert refused.value.reason is LockRefusal.BAD_HOLDER_PROOF


def test_holder_ids_are_the_first_8_bytes_of_the_keys_sha256() -> None:
    assert holder_id(bytes(32)).hex() == "66687aadf862bd77"


def test_two_issuer_keys_live_at_once_and_the_older_goes_with_the_next() -> None:
    old = issue(claims(), kid=KID, seed=seed("issuer 1")).raw
    new = issue(claims(), kid=NEXT_KID, seed=seed("issuer 2")).raw
    both = issuers()
    verify(old, both)
    verify(new, both)
    third = both.rotated(b"\x00\x03", public_key(seed("issuer 3")))
    assert sorted(third.keys) == [NEXT_KID, b"\x00\x03"]
    assert third.rotated(b"\x00\x03", public_key(seed("issuer 3"))) == third
    verify(new, third)
    with pytest.raises(GrantRefusedError) as refused:
        verify(old, third)
    assert refused.value.reason is LockRefusal.BAD_SIGNATURE
    with pytest.raises(GrantRefusedError) as older:
        third.rotated(KID, public_key(seed("issuer 1")))
    assert older.value.reason is LockRefusal.REVOKED


@pytest.mark.parametrize("keys", [{}, {bytes([0, n]): bytes(32) for n in range(3)}, {b"1": b""}])
def test_a_verifier_holds_one_or_two_whole_keys(keys: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="issuer key"):
        IssuerKeys(keys)


def test_every_refusal_has_one_att_code_of_its_own() -> None:
    assert sorted(ATT_CODES.values()) == list(range(0x80, 0x90))
    assert all(refusal_of(code) is refusal for refusal, code in ATT_CODES.items())
    assert set(ATT_CODES) == set(LockRefusal)
    assert refusal_of(0x0E) is None
