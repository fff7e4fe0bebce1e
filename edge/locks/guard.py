"""What must hold before anything is sent to a lock. Pure; the lock checks again by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from edge.locks.interface import Headcount, HolderProof
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import Claims, Op
from tocsin.grants.grant import PROOF_RESCUE, PROOF_UNLOCK, Grant, check, check_holder, verify
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import NO_GRANT

COUNT_AGE_S = 60.0  # a headcount older than this is none


class Gate(msgspec.Struct, frozen=True):
    """What one gateway knows when it is asked."""

    gateway_id: bytes
    lock_id: bytes
    issuers: IssuerKeys
    now_ns: int
    knows_time: bool
    min_ctr: int = 0

    @property
    def now_s(self) -> int:
        """Unix seconds."""
        return self.now_ns // 1_000_000_000


def check_unlock(gate: Gate, raw: bytes, proof: HolderProof, *, nonce: bytes) -> Grant:
    """The grant, if this holder may open this lock now; what a permit has against it is asked after that.

    Raises:
        GrantRefusedError: no; `reason` as the lock itself would say it.
    """
    grant = _ours(gate, raw, Op.UNLOCK)
    _in_force(gate, grant.claims)
    check_holder(grant.claims, proof.public, proof.signature, purpose=PROOF_UNLOCK, nonce=nonce)
    return grant


def check_rescue(
    gate: Gate, raws: Sequence[bytes], proofs: Sequence[HolderProof], *, nonce: bytes
) -> tuple[Grant, Grant]:
    """Two rescue grants of two people. Raises GrantRefusedError."""
    first, second = (_ours(gate, raw, Op.RESCUE) for raw in raws)
    if first.claims.sub == second.claims.sub or first.claims.cti == second.claims.cti:
        _refuse(LockRefusal.NOT_ALLOWED, "a rescue opening takes the grants of two people")
    for grant, proof in zip((first, second), proofs, strict=True):
        _in_force(gate, grant.claims)
        check_holder(grant.claims, proof.public, proof.signature, purpose=PROOF_RESCUE, nonce=nonce)
    return first, second


def check_relock(gate: Gate, raw: bytes | None, headcount: Headcount) -> bytes:
    """What opened, if the lock may be locked again: id of the grant, also of one that has run out; zeros where a hand did (`raw` None).

    Raises GrantRefusedError.
    """
    if headcount.inside is None:
        _refuse(LockRefusal.OCCUPIED, "nobody knows how many are inside")
    if headcount.inside:
        _refuse(LockRefusal.OCCUPIED, f"{headcount.inside} inside, as {headcount.by} counted")
    age_s = (gate.now_ns - headcount.counted_ns) / 1e9
    if age_s > COUNT_AGE_S:
        _refuse(LockRefusal.OCCUPIED, f"counted {age_s:.0f} s ago: count again")
    if raw is None:
        return NO_GRANT
    claims = _ours(
        gate, raw, Op.RELOCK, Op.RESCUE
    ).claims  # what a rescue opened is locked again too
    if claims.aud != gate.lock_id:
        _refuse(LockRefusal.WRONG_LOCK, f"for lock {claims.aud.hex()}")
    return claims.cti


def _ours(gate: Gate, raw: bytes, *ops: Op) -> Grant:
    """A grant of our issuers for this gateway that allows one of `ops`."""
    grant = verify(raw, gate.issuers)
    if not any(op in grant.claims.ops for op in ops):
        _refuse(LockRefusal.NOT_ALLOWED, f"the grant does not allow {ops[0].name}".lower())
    if grant.claims.gw not in (None, gate.gateway_id):
        _refuse(LockRefusal.NOT_ALLOWED, "the grant is for another gateway")
    return grant


def _in_force(gate: Gate, claims: Claims) -> None:
    if not gate.knows_time:
        _refuse(LockRefusal.TIME_UNKNOWN, "this gateway does not know the time")
    check(claims, lock_id=gate.lock_id, now_s=gate.now_s, min_ctr=gate.min_ctr)


def _refuse(reason: LockRefusal, text: str) -> NoReturn:
    raise GrantRefusedError(reason, text)
