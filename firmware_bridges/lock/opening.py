"""GRANT, PROVE, UNLOCK_A, RELOCK, RESCUE: what moves the bolt. Everything is checked before anything changes."""

from __future__ import annotations

from collections.abc import Iterable

from firmware_bridges.lock.frames import Kind
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import Actuate
from firmware_bridges.lock.session import HEADCOUNT_UNKNOWN
from firmware_bridges.lock.state import (
    BATTERY_LOW_PERCENT,
    BOLT_S,
    LOG_OPENINGS,
    USED_GRANTS,
    Awaited,
    LockSession,
    Opener,
    Remembered,
    clock_of,
)
from firmware_bridges.lock.turn import Turn
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import Claims, Op, decode_claims
from tocsin.grants.grant import (
    PROOF_RESCUE,
    PROOF_UNLOCK,
    capability_key,
    check,
    check_holder,
    verify,
)
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import LockEventKind
from tocsin.grants.primitives import KEY_BYTES, MAC_BYTES, SIGNATURE_BYTES, is_mac

_PROOF_BYTES = KEY_BYTES + SIGNATURE_BYTES


def take_grant(turn: Turn, session: LockSession, body: bytes) -> None:
    """GRANT (profile B): the issuer's word; the holder's is still to come."""
    _of_profile(turn, Profile.SIGNATURES)
    live_nonce(turn, session)
    claims = verify(body, issuers_of(turn)).claims
    _in_force(turn, session, claims, Op.UNLOCK)
    turn.set_session(grant=claims)
    turn.answer(Kind.GRANT)


def take_proof(turn: Turn, session: LockSession, body: bytes) -> None:
    """PROVE (profile B): the holder is here."""
    _of_profile(turn, Profile.SIGNATURES)
    nonce = live_nonce(turn, session)
    if session.grant is None:
        raise GrantRefusedError(LockRefusal.NO_LIVE_NONCE, "no grant was presented before")
    _in_force(turn, session, session.grant, Op.UNLOCK)
    _holder(session.grant, body, PROOF_UNLOCK, nonce)
    _unlock(turn, session, session.grant, Kind.PROVE)


def take_capability(turn: Turn, session: LockSession, body: bytes) -> None:
    """UNLOCK_A (profile A): claims, and the proof that the cloud gave out the key that belongs to them."""
    _of_profile(turn, Profile.MAC_ONLY)
    nonce = live_nonce(turn, session)
    claims = _capability(turn, body[:-MAC_BYTES], body[-MAC_BYTES:], PROOF_UNLOCK, nonce)
    _in_force(turn, session, claims, Op.UNLOCK)
    _unlock(turn, session, claims, Kind.UNLOCK_A)


def take_rescue(turn: Turn, session: LockSession, body: bytes) -> None:
    """RESCUE: two holders, each with a rescue grant. Neither lockout, battery nor an unknown time stands in its way."""
    nonce = live_nonce(turn, session)
    first, second = _two(turn, body, nonce)
    for claims in (first, second):
        _in_force(turn, session, claims, Op.RESCUE)
    if first.sub == second.sub:
        raise GrantRefusedError(LockRefusal.BAD_HOLDER_PROOF, "a rescue takes two people")
    _not_awaiting(turn)
    used = _used_once(turn, _used_once(turn, turn.state.durable.used, first), second)
    _remember(
        turn, used, opener=Opener(first.cti, True), failures=0, lockout_s=0, is_locked_out=False
    )
    turn.log(LockEventKind.RESCUE, first.cti, second.cti + session.gateway_id)
    _move(turn, Awaited(Kind.RESCUE, True, turn.now_s + BOLT_S, first.cti))


def take_relock(turn: Turn, session: LockSession, body: bytes) -> None:
    """RELOCK: never while anyone is inside, or nobody knows."""
    if len(body) != 10:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a RELOCK of {len(body)} bytes")
    live_nonce(turn, session)
    cti, headcount = body[:8], int.from_bytes(body[8:], "big")
    opener = turn.state.durable.opener
    if opener.cti != cti or not opener.may_relock:
        raise GrantRefusedError(LockRefusal.NOT_ALLOWED, "not the grant that opened, or it may not")
    if headcount:
        inside = "nobody knows" if headcount == HEADCOUNT_UNKNOWN else str(headcount)
        raise GrantRefusedError(LockRefusal.OCCUPIED, f"people inside: {inside}")
    if turn.state.is_open:
        raise GrantRefusedError(LockRefusal.JAMMED_OR_OPEN, "the door is open")
    _not_awaiting(turn)
    awaited = Awaited(Kind.RELOCK, False, turn.now_s + BOLT_S, cti, headcount, session.gateway_id)
    _move(turn, awaited)


def bolt_moved(turn: Turn, is_unlocked: bool) -> None:
    """The bolt's end switch: an order is carried out, or a hand moved it."""
    before, awaited = turn.state.is_unlocked, turn.state.awaited
    turn.set(is_unlocked=is_unlocked)
    if awaited is not None and awaited.to_unlocked == is_unlocked:
        turn.set(awaited=None, is_jammed=False)
        if awaited.kind is Kind.RELOCK:
            data = awaited.headcount.to_bytes(2, "big") + awaited.gateway_id
            turn.log(LockEventKind.RELOCK, awaited.cti, data)
        turn.answer(awaited.kind)
    elif before != is_unlocked:
        if is_unlocked:
            turn.keep(opener=Opener(bytes(8), True))
        turn.log(LockEventKind.BY_HAND, data=bytes([is_unlocked]))
        turn.tell_news()


def bolt_overdue(turn: Turn) -> None:
    """The bolt did not move in time: whoever asked is told."""
    awaited = turn.state.awaited
    if awaited is None or turn.now_s < awaited.until_s:
        return
    turn.set(awaited=None, is_jammed=True)
    turn.log(LockEventKind.JAMMED, awaited.cti, bytes([awaited.to_unlocked]))
    turn.answer(awaited.kind, 0x8C)


def live_nonce(turn: Turn, session: LockSession) -> bytes:
    """The session's nonce. Raises GrantRefusedError (`no-live-nonce`) where it is burnt or over."""
    if session.nonce is None or turn.now_s >= session.nonce_until_s:
        raise GrantRefusedError(LockRefusal.NO_LIVE_NONCE, "the nonce is burnt or older than 30 s")
    return session.nonce


def issuers_of(turn: Turn) -> IssuerKeys:
    """The issuer keys. Raises GrantRefusedError (`not-allowed`) for a lock that has none."""
    issuers = turn.state.durable.issuers
    if issuers is None:
        raise GrantRefusedError(LockRefusal.NOT_ALLOWED, "this lock knows no signatures")
    return issuers


def revoke_grants(
    turn: Turn, min_ctr: int, epoch: int, revoked: Iterable[tuple[bytes, int]]
) -> None:
    """Raises min_ctr and gateway epoch and marks single grants; nothing is ever taken back."""
    used = turn.state.durable.used
    for cti, ctr in revoked:
        left = next((one.left for one in used if one.cti == cti), 0)
        used = (*(one for one in used if one.cti != cti), Remembered(cti, ctr, left, True))
    _remember(turn, used, least=min_ctr, gateway_epoch=max(epoch, turn.state.durable.gateway_epoch))


def _of_profile(turn: Turn, profile: Profile) -> None:
    if turn.identity.profile is not profile:
        raise GrantRefusedError(LockRefusal.NOT_ALLOWED, "the lock is of the other profile")


def _capability(turn: Turn, claims: bytes, proof: bytes, purpose: bytes, nonce: bytes) -> Claims:
    decoded = decode_claims(claims)
    if decoded.aud != turn.identity.lock_id:
        raise GrantRefusedError(LockRefusal.WRONG_LOCK, "the claims are another lock's")
    key = capability_key(turn.identity.k_lock, claims)
    if not is_mac(key, proof, purpose, nonce, turn.identity.lock_id):
        raise GrantRefusedError(LockRefusal.BAD_SIGNATURE, "the capability's proof fails")
    return decoded


def _two(turn: Turn, body: bytes, nonce: bytes) -> tuple[Claims, Claims]:
    """The two grants of a RESCUE, both proven."""
    has_signatures = turn.identity.profile is Profile.SIGNATURES
    proof_bytes = _PROOF_BYTES if has_signatures else MAC_BYTES
    found: list[Claims] = []
    at = 0
    for _ in range(2):
        end = at + 1 + body[at] if at < len(body) else at
        one, proof = body[at + 1 : end], body[end : end + proof_bytes]
        at = end + proof_bytes
        if not one or len(proof) != proof_bytes:
            raise GrantRefusedError(LockRefusal.MALFORMED, "a RESCUE is two grants with proofs")
        if has_signatures:
            claims = verify(one, issuers_of(turn)).claims
            _holder(claims, proof, PROOF_RESCUE, nonce)
        else:
            claims = _capability(turn, one, proof, PROOF_RESCUE, nonce)
        found.append(claims)
    if at != len(body):
        raise GrantRefusedError(LockRefusal.MALFORMED, "bytes follow the second grant")
    return found[0], found[1]


def _holder(claims: Claims, proof: bytes, purpose: bytes, nonce: bytes) -> None:
    if len(proof) != _PROOF_BYTES:
        raise GrantRefusedError(LockRefusal.MALFORMED, f"a proof of {len(proof)} bytes")
    check_holder(claims, proof[:KEY_BYTES], proof[KEY_BYTES:], purpose=purpose, nonce=nonce)


def _in_force(turn: Turn, session: LockSession, claims: Claims, op: Op) -> None:
    """For this lock, now, not revoked, not used up, by this gateway, for this. In this order."""
    durable, lock_id = turn.state.durable, turn.identity.lock_id
    time_s, quality = clock_of(turn.state, turn.now_s)
    if claims.aud != lock_id:
        raise GrantRefusedError(LockRefusal.WRONG_LOCK, "the grant is another lock's")
    if not quality:
        if op is not Op.RESCUE:
            raise GrantRefusedError(LockRefusal.TIME_UNKNOWN, "the lock was not told the time")
        time_s = claims.nbf
    check(claims, lock_id=lock_id, now_s=time_s, min_ctr=durable.min_ctr)
    known = next((one for one in durable.used if one.cti == claims.cti), None)
    if known is not None and known.is_revoked:
        raise GrantRefusedError(LockRefusal.REVOKED, "the grant was revoked")
    if known is not None and not known.left:
        raise GrantRefusedError(LockRefusal.ALREADY_USED, "the grant has no use left")
    if claims.gw not in (None, session.gateway_id):
        raise GrantRefusedError(LockRefusal.NOT_ALLOWED, "the grant is another gateway's")
    if op not in claims.ops:
        raise GrantRefusedError(LockRefusal.NOT_ALLOWED, f"the grant is not for {op.name}")


def _unlock(turn: Turn, session: LockSession, claims: Claims, kind: Kind) -> None:
    if turn.state.battery_percent < BATTERY_LOW_PERCENT:
        raise GrantRefusedError(LockRefusal.BATTERY_LOW, "it could not lock again")
    if turn.unacked >= LOG_OPENINGS:
        raise GrantRefusedError(LockRefusal.BUSY, "the log is full: pull and acknowledge it")
    _not_awaiting(turn)
    used = _used_once(turn, turn.state.durable.used, claims)
    _remember(
        turn,
        used,
        opener=Opener(claims.cti, Op.RELOCK in claims.ops),
        failures=0,
        lockout_s=0,
        is_locked_out=False,
    )
    data = claims.ctr.to_bytes(4, "big") + bytes([used[-1].left]) + session.gateway_id
    turn.log(LockEventKind.UNLOCK, claims.cti, data)
    _move(turn, Awaited(kind, True, turn.now_s + BOLT_S, claims.cti))


def _used_once(turn: Turn, used: tuple[Remembered, ...], claims: Claims) -> tuple[Remembered, ...]:
    left = next((one.left for one in used if one.cti == claims.cti), claims.uses)
    others = tuple(one for one in used if one.cti != claims.cti)
    return (*others, Remembered(claims.cti, claims.ctr, max(0, left - 1)))


def _remember(
    turn: Turn, used: tuple[Remembered, ...], *, least: int = 0, **changes: object
) -> None:
    """Keeps the grants and `changes`. What no longer fits goes lowest counter first, and min_ctr rises above it."""
    min_ctr = max(least, turn.state.durable.min_ctr)
    used = tuple(one for one in used if one.ctr >= min_ctr)
    while len(used) > USED_GRANTS:
        min_ctr = min(one.ctr for one in used) + 1
        used = tuple(one for one in used if one.ctr >= min_ctr)
    turn.keep(used=used, min_ctr=min_ctr, **changes)


def _not_awaiting(turn: Turn) -> None:
    if turn.state.awaited is not None:
        raise GrantRefusedError(LockRefusal.BUSY, "the bolt is moving")


def _move(turn: Turn, awaited: Awaited) -> None:
    turn.burn_nonce()
    turn.set(awaited=awaited)
    turn.effects.append(Actuate(awaited.to_unlocked))
