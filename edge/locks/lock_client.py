"""One lock as the gateway deals with it: challenge, commands, its log, and what is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from edge.locks import guard
from edge.locks.contact import Contact
from edge.locks.dialogue import Build, Dialogue, InDoubtError, LockIdentity
from edge.locks.handing_over import hand_over
from edge.locks.interface import Headcount, HeldGrant, HolderProof, LockNews, LockState
from edge.locks.log_reader import LogReader
from edge.locks.log_sync import opened_under
from edge.locks.order_book import OrderBook
from edge.locks.radio import Sighting
from edge.locks.surroundings import Surroundings
from edge.locks.wire import LockSaidNoError
from firmware_bridges.lock import client
from firmware_bridges.lock.client import StateNews
from firmware_bridges.lock.gatt import Profile, Shown
from firmware_bridges.lock.session import Challenge
from firmware_bridges.lock.state import IDLE_S
from tocsin.errors import (
    DeviceFaultError,
    DriverReason,
    GrantRefusedError,
    LinkError,
    LockRefusal,
)
from tocsin.grants.claims import Claims, encode_claims
from tocsin.grants.issuers import IssuerKeys
from tocsin.grants.lock_log import LockEventKind

_EVENTS = {
    "unlock": LockEventKind.UNLOCK,
    "relock": LockEventKind.RELOCK,
    "rescue": LockEventKind.RESCUE,
}


class _Open(msgspec.Struct):
    """A session that waits for a holder's proof."""

    stack: AsyncExitStack
    dialogue: Dialogue
    until_ns: int


class _Doubt(msgspec.Struct, frozen=True):
    """A command that was sent and not answered."""

    what: str
    cti: bytes


class LockClient:
    """One lock. All its methods raise GrantRefusedError (refused here), LockSaidNoError (refused there) and DriverError."""

    def __init__(
        self, name: str, lock: LockIdentity, contact: Contact, log: LogReader, around: Surroundings
    ) -> None:
        self.name, self.lock = name, lock
        self._contact, self._log, self._around = contact, log, around
        self._busy = asyncio.Lock()
        self._open: _Open | None = None
        self._doubt: _Doubt | None = None
        self.state = LockState(name, available=False, synced_seq=log.synced_seq)
        self.shown: Shown | None = None  # of the last challenge or news: authentic
        self.tried_ns = 0  # when it was last contacted, or that was tried

    def saw(self, sighting: Sighting) -> None:
        """It advertises."""
        self._contact.saw(sighting)
        self.state = msgspec.structs.replace(self.state, heard_ns=self._around.clock.now_ns())

    @property
    def is_in_use(self) -> bool:
        """Whether somebody is at it: a poll would be in the way."""
        return self._busy.locked() or self._open is not None

    async def read(self) -> dict[str, Any]:
        """Ask for its state and what is new in its log."""
        self._refuse_if_open()
        async with self._session() as dialogue:
            is_over = await hand_over(dialogue, self._orders, self.lock.lock_id, self._issuers)
            if not is_over:
                await self._sync(dialogue)
        if is_over:  # it was told a newer gateway epoch
            async with self._session() as dialogue:
                await self._sync(dialogue)
        return {"state": msgspec.to_builtins(self.state)}

    @property
    def has_orders(self) -> bool:
        """Whether the cloud ordered something that the lock has not been told."""
        return self._orders is not None and self._orders.is_urgent(self.lock.lock_id)

    @property
    def _orders(self) -> OrderBook | None:
        return self._around.rules.orders

    @property
    def _issuers(self) -> IssuerKeys:
        """Whose grants open now."""
        configured = self._around.issuers
        return self._orders.issuers(self.lock.lock_id, configured) if self._orders else configured

    async def greet(self) -> str:
        """Have it prove itself and say what it is; leaves no trace."""
        async with self._session() as dialogue:
            told = dialogue.challenge
        profile = "B (signatures)" if told.profile is Profile.SIGNATURES else "A (MAC only)"
        bolt = "unlocked" if Shown.UNLOCKED in told.shown else "locked"
        return (
            f"lock {told.lock_id.hex()}, profile {profile}, {bolt}, "
            f"battery {told.battery_percent} %, {told.event_seq} events"
        )

    async def challenge(self) -> dict[str, Any]:
        """Open a session and give the nonce a holder signs; it ends by itself after 15 s. What the cloud revoked is told first."""
        self._refuse_if_open()
        if self.has_orders:
            await self.read()
        stack = AsyncExitStack()
        try:
            dialogue = await stack.enter_async_context(self._session())
        except BaseException:
            await stack.aclose()
            raise
        until_ns = self._around.clock.now_ns() + (IDLE_S - 1) * 1_000_000_000
        self._open = opened = _Open(stack, dialogue, until_ns)
        self._around.spawn(self._end_idle(opened), f"lock-idle:{self.name}")
        told = {"lock_id": self.lock.lock_id.hex(), "nonce": dialogue.challenge.nonce.hex()}
        return {**told, "until_ns": until_ns}

    async def unlock(self, nonce: bytes, grant: HeldGrant, proof: HolderProof) -> dict[str, Any]:
        """Open under a live grant, proven by its holder over this session's nonce."""
        claims: Claims | None = None
        try:
            async with self._answered(nonce) as dialogue:
                challenge = dialogue.challenge
                claims = guard.check_unlock(
                    self._gate(challenge), grant.raw, proof, nonce=nonce
                ).claims
                self._may_open(claims)
                if challenge.profile is Profile.SIGNATURES:
                    await self._show_grant(dialogue, grant)
                    self._may_open(claims)  # work may have been stopped while the lock read it
                else:
                    grant = self._with_secret(grant, claims)
                build = _opening(challenge.profile, grant, claims, proof)
                return await self._move("unlock", dialogue, build)
        except InDoubtError as doubt:
            assert claims is not None  # noqa: S101 - something was sent
            return await self._settle(_Doubt("unlock", claims.cti), doubt)

    def _may_open(self, claims: Claims) -> None:
        if why_not := self._around.rules.why_not(self.name, claims):
            raise GrantRefusedError(LockRefusal.NOT_ALLOWED, why_not)

    def _with_secret(self, grant: HeldGrant, claims: Claims) -> HeldGrant:
        """For a lock without signatures: the capability that came with it, else the one kept here."""
        if grant.capability is not None:
            return grant
        return HeldGrant(grant.raw, self._around.rules.capability(claims))

    async def _show_grant(self, dialogue: Dialogue, grant: HeldGrant) -> None:
        """It moves nothing: where it fails, nothing was carried out."""
        try:
            await dialogue.ask(lambda s: client.grant(s, grant.raw))
        except LockSaidNoError:
            raise
        except LinkError as exc:
            text = f"the lock did not take the grant, the bolt did not move: {exc.message}"
            raise LinkError(DriverReason.CLOSED, text, device=self.name) from exc

    async def rescue(
        self,
        nonce: bytes,
        grants: tuple[HeldGrant, HeldGrant],
        proofs: tuple[HolderProof, HolderProof],
    ) -> dict[str, Any]:
        """Open under the rescue grants of two people."""
        cti = b""
        try:
            async with self._answered(nonce) as dialogue:
                raws = [grant.raw for grant in grants]
                gate = self._gate(dialogue.challenge)
                checked = guard.check_rescue(gate, raws, proofs, nonce=nonce)
                for one in checked:
                    self._may_open(one.claims)
                cti = checked[0].claims.cti
                parts = [
                    (grant.raw, proof.public + proof.signature)
                    if dialogue.challenge.profile is Profile.SIGNATURES
                    else (
                        encode_claims(one.claims),
                        client.rescue_proof_a(
                            dialogue.session, _capability(self._with_secret(grant, one.claims))
                        ),
                    )
                    for grant, proof, one in zip(grants, proofs, checked, strict=True)
                ]
                return await self._move(
                    "rescue", dialogue, lambda s: client.rescue(s, parts[0], parts[1])
                )
        except InDoubtError as doubt:
            return await self._settle(_Doubt("rescue", cti), doubt)

    async def relock(self, grant: HeldGrant | None, headcount: Headcount) -> dict[str, Any]:
        """Lock again. Headcount and permits are asked before the lock is even looked for, and once more when it is found."""
        raw = grant.raw if grant else None
        cti = self._may_relock(raw, headcount)
        self._refuse_if_open()
        try:
            async with self._session() as dialogue:
                self._may_relock(raw, headcount)
                return await self._move("relock", dialogue, lambda s: client.relock(s, cti, 0))
        except InDoubtError as doubt:
            return await self._settle(_Doubt("relock", cti), doubt)

    def _may_relock(self, raw: bytes | None, headcount: Headcount) -> bytes:
        cti = guard.check_relock(self._gate(None), raw, headcount)
        if why_not := self._around.rules.why_not_relock(self.name):
            raise GrantRefusedError(LockRefusal.OCCUPIED, why_not)
        return cti

    async def order(self, build: Build, nonce: bytes | None) -> dict[str, Any]:
        """Hand over an order of the cloud. A TIME is bound to the nonce of the session that waits."""
        if nonce is None:
            self._refuse_if_open()
        session = self._session() if nonce is None else self._answered(nonce)
        async with session as dialogue:
            result = await dialogue.ask(build)
            await self._sync(dialogue)
        return {"event_seq": result.event_seq}

    def _gate(self, challenge: Challenge | None) -> guard.Gate:
        around = self._around
        return guard.Gate(
            self.lock.gateway_id,
            self.lock.lock_id,
            self._issuers,
            around.clock.now_ns(),
            around.rules.knows_time(),
            challenge.min_ctr if challenge else 0,
        )

    def _refuse_if_open(self) -> None:
        if self._open is not None:
            text = "a holder is at this lock; that turn ends within 15 s"
            raise GrantRefusedError(LockRefusal.BUSY, text)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Dialogue]:
        """A session of our own; others wait for their turn."""
        async with self._busy, AsyncExitStack() as stack:
            self.tried_ns = self._around.clock.now_ns()
            try:
                dialogue = await stack.enter_async_context(self._contact.session(self._news))
            except LinkError as exc:
                self._change(available=False)
                self._around.unavailable(self.name, exc)
                raise
            self._took(dialogue.challenge)
            yield dialogue

    @asynccontextmanager
    async def _answered(self, nonce: bytes) -> AsyncIterator[Dialogue]:
        """The session that waits for the proof of this nonce; whatever comes of it, it is over then."""
        opened = self._open
        if opened is None or opened.dialogue.challenge.nonce != nonce:
            text = "no session of this lock waits for a proof of this nonce"
            raise GrantRefusedError(LockRefusal.NO_LIVE_NONCE, text, hint="ask for a new challenge")
        self._open = None
        try:
            yield opened.dialogue
        finally:
            await opened.stack.aclose()

    async def close(self) -> None:
        """End a session that waits for its proof; the gateway stops."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened.stack.aclose()

    async def _end_idle(self, opened: _Open) -> None:
        await self._around.clock.sleep((opened.until_ns - self._around.clock.now_ns()) / 1e9)
        if self._open is opened:
            self._open = None
            await opened.stack.aclose()

    async def _move(self, what: str, dialogue: Dialogue, build: Build) -> dict[str, Any]:
        result = await dialogue.move(build)
        self._change(bolt_out=what == "relock")
        if self.shown is not None:
            self.shown ^= (self.shown & Shown.UNLOCKED) ^ (
                Shown(0) if what == "relock" else Shown.UNLOCKED
            )
        try:
            await self._sync(dialogue)
        except (LinkError, LockSaidNoError) as exc:
            self._around.log.info("%s: its log waits: %s", self.name, exc.message)
        return {"event_seq": result.event_seq}

    async def _sync(self, dialogue: Dialogue) -> int:
        """Journal what is new in the log. A doubt ends with it: the event that carried its command out, or 0."""
        events = await self._log.read(dialogue, self._tell_event)
        self._change(synced_seq=self._log.synced_seq, log_seq=self._log.synced_seq)
        if self.shown is not None:
            self.shown &= ~Shown.EVENTS_PENDING
        doubt, self._doubt = self._doubt, None
        if doubt is None:
            return 0
        seq = opened_under(events, doubt.cti, _EVENTS[doubt.what])
        said = f"was carried out (event {seq})" if seq else "was not carried out"
        text = f"{doubt.what}, whose answer was lost, {said}, says the lock's log"
        told: dict[str, object] = {"command": doubt.what, "cti": doubt.cti.hex(), "event": seq}
        await self._around.tell("lock.settled", self.name, text, told)
        self._change(in_doubt="")
        return seq

    async def _settle(self, doubt: _Doubt, cause: InDoubtError) -> dict[str, Any]:
        """Ask the lock again what became of a command whose answer is missing.

        Raises:
            DeviceFaultError: it was not carried out.
            LinkError: nobody knows; the next contact will tell (`lock.settled`).
        """
        self._doubt = doubt
        self._change(in_doubt=doubt.what)
        told: dict[str, object] = {"command": doubt.what, "cti": doubt.cti.hex()}
        await self._around.tell("lock.doubt", self.name, cause.message, told)
        try:
            async with self._session() as dialogue:
                seq = await self._sync(dialogue)
        except (LinkError, LockSaidNoError) as exc:
            text = f"{cause.message}; the bolt may be in either place: look at it ({exc.message})"
            raise LinkError(DriverReason.NO_ANSWER, text, device=self.name) from exc
        if not seq:
            text = f"{doubt.what} was not carried out: the lock's log knows nothing of it"
            raise DeviceFaultError(DriverReason.NO_ANSWER, text, device=self.name)
        if self.state.bolt_out == (doubt.what != "relock"):
            text = f"{doubt.what} was begun (event {seq}) and the bolt is not where it should be"
            raise DeviceFaultError(DriverReason.EXCEPTION_CODE, text, device=self.name)
        return {"event_seq": seq, "answer": "lost, and found in the lock's log"}

    def _took(self, challenge: Challenge) -> None:
        """What a lock says of itself in its CHALLENGE is authentic."""
        now_ns = self._around.clock.now_ns()
        self._around.available(self.name)
        self._change(
            available=True,
            read_ns=now_ns,
            heard_ns=now_ns,
            time_quality=challenge.time_quality,
            log_seq=challenge.event_seq,
            **self._seen(challenge.shown, challenge.battery_percent),
        )

    def _news(self, news: StateNews) -> None:
        now_ns = self._around.clock.now_ns()
        seen = self._seen(news.shown, news.battery_percent)
        self._change(heard_ns=now_ns, log_seq=news.event_seq, **seen)

    def _seen(self, shown: Shown, battery_percent: int) -> dict[str, Any]:
        self.shown = shown
        return {
            "bolt_out": Shown.UNLOCKED not in shown,
            "door_open": Shown.DOOR_OPEN in shown,
            "tamper": Shown.TAMPER in shown,
            "battery_percent": battery_percent,
        }

    def _change(self, **changes: Any) -> None:
        before, self.state = self.state, msgspec.structs.replace(self.state, **changes)
        if before != self.state:
            self._around.rules.hear(LockNews(self.name, self.state))

    def _tell_event(self, kind: int, cti: bytes, text: str) -> None:
        self._around.rules.hear(LockNews(self.name, self.state, kind, cti, text))


def _opening(profile: Profile, grant: HeldGrant, claims: Claims, proof: HolderProof) -> Build:
    """The message that opens: the holder's own proof, or the capability the cloud gave us."""
    if profile is Profile.SIGNATURES:
        return lambda s: client.prove(s, proof.public, proof.signature)
    key = _capability(grant)
    return lambda s: client.unlock_a(s, encode_claims(claims), key)


def _capability(grant: HeldGrant) -> bytes:
    if grant.capability is None:
        text = "this lock knows no signatures, and the grant came without its capability key"
        raise GrantRefusedError(LockRefusal.NOT_ALLOWED, text)
    return grant.capability
