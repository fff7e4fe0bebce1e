"""Opening and locking a space's lock under a permit: the live grant kept here, the holder's proof, and the headcount."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge.locks.interface import Challenge, Headcount, HeldGrant, HolderProof, Locks, TimeKey
from edge.orders.results import Result
from edge.permits.watched import Watched, claims_of
from tocsin.errors import GrantRefusedError
from tocsin.grants.claims import Claims, Op, holder_id
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import open_sealed
from tocsin.permits.facts import GrantNoted
from tocsin.permits.grant_policy import may_relock, may_unlock
from tocsin.permits.messages import SealedGrant
from tocsin.permits.names import State
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.sentences import sentence
from tocsin.sdk import Clock

if TYPE_CHECKING:
    from edge.permits.desk import PermitDesk


Sentence = tuple[str, str]  # Chinese, English
_CALL_FIRST = (
    "救援授权只在应急状态下开锁，请先启动应急。",
    "Rescue grants open in an emergency only: call it first.",
)
_NO_PERMIT = ("网关上没有这张作业票。", "This gateway keeps no such permit.")


class Waiting(msgspec.Struct, frozen=True):
    """A lock's challenge, and the grant it would open under: the holder signs both."""

    challenge: Challenge
    grant: HeldGrant
    cti: str
    exp_ns: int


class Found(msgspec.Struct, frozen=True):
    """A grant that is kept here and would open now."""

    permit: str
    noted: GrantNoted
    grant: HeldGrant


class Occupied(msgspec.Struct, frozen=True):
    """By this permit a lock must stay open."""

    permit: str
    why: Refused

    @property
    def told(self) -> Sentence:
        """For people."""
        return _of(self.permit, self.why)


class Unlocker:
    """Nothing here decides alone: the permit's rules first, then the lock's guard, then the lock."""

    def __init__(self, desk: PermitDesk, locks: Locks, private: bytes, clock: Clock) -> None:
        self._desk, self._locks, self._private, self._clock = desk, locks, private, clock

    def borrow(self, watched: Watched) -> None:
        """Take the time keys that came with a permit; a seal that is not ours is left alone."""
        for lent in watched.told.times:
            if lent.lock not in self._locks.names():
                continue
            if key := self.unseal(lent.sealed, lent.context):
                self._locks.lend_time(lent.lock, TimeKey(key, lent.from_s, lent.until_s))

    def unseal(self, sealed: bytes, context: bytes) -> bytes | None:
        """A secret that was sealed to this gateway; None where it was not."""
        try:
            return open_sealed(sealed, self._private, context=context)
        except GrantRefusedError:
            return None

    def against(self, lock: str, claims: Claims) -> Sentence | None:
        """What stands against an opening; None where nothing does.

        Rescue grants are here before they are needed: they open in an emergency, which anybody may call, and where nothing is
        known of their permit.
        """
        watched = next((w for w in self._desk.permits() if id_of(w.id) == claims.pmt), None)
        if Op.RESCUE in claims.ops:
            in_emergency = watched is None or watched.permit.state is State.EMERGENCY
            return None if in_emergency else _CALL_FIRST
        if watched is None:
            return _NO_PERMIT
        state = watched.permit.state
        if state is not State.ACTIVE:  # in an emergency nobody opens alone
            return _of(watched.id, refused(Why.NO_GRANTS_NOW, state=state.value))
        if claims.cti.hex() in watched.told.denied:
            return _of(watched.id, refused(Why.GRANT_DENIED, lock=lock))
        wrong = self._usable(watched, lock, claims.sub.hex())
        return _of(watched.id, wrong) if isinstance(wrong, Refused) else None

    def why_not(self, lock: str, claims: Claims) -> str:
        """Asked by the locks' guard before every opening, whoever asks for it."""
        return " · ".join(self.against(lock, claims) or ())

    def capability(self, claims: Claims) -> bytes | None:
        """The opened secret of a grant kept here, for a phone that asked through the cloud and has its COSE copy alone."""
        watched = next((w for w in self._desk.permits() if id_of(w.id) == claims.pmt), None)
        held = self._held(watched, claims.cti.hex()) if watched else None
        return held.capability if held else None

    def find(self, lock: str, holder: bytes) -> Found | Refused | None:
        """The grant that opens a lock now for a holder's public key; None: no permit here names the lock."""
        answer: Refused | None = None
        for watched in self._desk.permits():
            if lock not in self._desk.space(watched).locks:
                continue
            allowed = self._usable(watched, lock, holder_id(holder).hex())
            if isinstance(allowed, Refused):
                answer = answer or allowed
                continue
            held = self._held(watched, allowed.cti)
            if held is not None:
                return Found(watched.id, allowed, held)
            answer = answer or refused(Why.NO_LIVE_GRANT, lock=lock)
        return answer

    async def challenge(
        self, watched: Watched, lock: str, holder: bytes, actor: str
    ) -> Waiting | Refused:
        """A session with the lock for a holder's public key; a DriverError or GrantRefusedError of the lock goes through."""
        sub = holder_id(holder).hex()
        allowed = self._usable(watched, lock, sub)
        if isinstance(allowed, Refused):
            return allowed
        if allowed.rescue:  # it takes two of them
            return refused(Why.NO_GRANTS_NOW, state=watched.permit.state.value)
        held = self._held(watched, allowed.cti)
        if held is None:
            return refused(Why.NO_LIVE_GRANT, lock=lock)
        challenge = await self._locks.challenge(lock, actor=actor)
        return Waiting(challenge, held, allowed.cti, allowed.exp_ns)

    async def unlock(self, waiting: Waiting, proof: HolderProof, actor: str) -> Result:
        """Open; what came of it."""
        return await self._locks.unlock(waiting.challenge, waiting.grant, proof, actor=actor)

    def occupied(self, lock: str) -> Occupied | None:
        """A permit by which somebody is, or may be, behind this lock: of all that are kept, in whatever state they are."""
        for watched in self._desk.permits():
            known = {*self._desk.space(watched).locks, *watched.told.space.locks}
            if lock in known | {grant.lock for grant in watched.permit.grants}:
                wrong = may_relock(watched.seen)
                if wrong is not None:
                    return Occupied(watched.id, wrong)
        return None

    def why_not_relock(self, lock: str) -> str:
        """Asked by the locks' guard before every relock, whoever asks for it and whatever they counted."""
        found = self.occupied(lock)
        return " · ".join(found.told) if found else ""

    async def relock(self, watched: Watched, lock: str, actor: str) -> Result | Refused:
        """Lock again, also what the inside handle or a key opened. Refused while anyone is inside, or nobody knows; the attendant attests it by asking."""
        if found := self.occupied(lock):
            return found.why
        cti = watched.opener(lock)
        held = self._held(watched, cti) if cti else None
        if held is None and cti:
            return refused(Why.NO_LIVE_GRANT, lock=lock)
        count = Headcount(len(watched.permit.inside), actor, self._clock.now_ns())
        return await self._locks.relock(lock, held, count, actor=actor)

    def _usable(self, watched: Watched, lock: str, holder: str) -> GrantNoted | Refused:
        return may_unlock(
            watched.permit, self._desk.context(watched), lock, holder, self._desk.now_ns()
        )

    def _held(self, watched: Watched, cti: str) -> HeldGrant | None:
        for grant in watched.told.grants:
            claims = claims_of(grant.cose)
            if claims is not None and claims.cti.hex() == cti:
                return self._opened(grant, cti)
        return None

    def _opened(self, grant: SealedGrant, cti: str) -> HeldGrant | None:
        if not grant.sealed_key:
            return HeldGrant(grant.cose)
        key = self.unseal(grant.sealed_key, b"grant " + bytes.fromhex(cti))
        return None if key is None else HeldGrant(grant.cose, key)


def _of(permit: str, why: Refused) -> Sentence:
    return f"作业票 {permit}：{sentence(why, 'zh')}", f"Permit {permit}: {sentence(why, 'en')}"
