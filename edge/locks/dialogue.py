"""One conversation with one lock: HELLO, its CHALLENGE checked, then messages under the session's key."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from edge.locks.wire import ANSWER_S, LockSaidNoError, Wire
from firmware_bridges.lock import client
from firmware_bridges.lock.client import LogPage, Session, StateNews
from firmware_bridges.lock.frames import Kind, Message
from firmware_bridges.lock.session import NONCE_BYTES, Challenge, epoch_hint
from tocsin.errors import DriverReason, GrantRefusedError, LinkError, LockRefusal
from tocsin.grants.att import refusal_of

BOLT_ANSWER_S = 8.0  # a bolt has 3 s to move, then its answer comes
Build = Callable[[Session], tuple[Session, Message]]


class LockIdentity(msgspec.Struct, frozen=True):
    """One lock as this gateway was told of it at its commissioning. The keys never show."""

    lock_id: bytes
    gateway_id: bytes
    k_gw: bytes
    advert_key: bytes | None = None
    address: str = ""

    def __repr__(self) -> str:
        return f"LockIdentity({self.lock_id.hex()})"


class InDoubtError(LinkError):
    """A message that moves the bolt was sent, and nothing says whether it was carried out."""

    def __init__(self, kind: Kind, cause: str) -> None:
        super().__init__(
            DriverReason.NO_ANSWER, f"{kind.name} was sent and no answer came ({cause})"
        )
        self.kind = kind


class Dialogue:
    """A session. `hear` is told of the lock's own news, `spoilt` counts answers that are of no session."""

    def __init__(
        self,
        wire: Wire,
        session: Session,
        hear: Callable[[StateNews], None],
        spoilt: Callable[[], None],
    ) -> None:
        self._wire, self._session = wire, session
        self._hear, self._spoilt = hear, spoilt

    @property
    def challenge(self) -> Challenge:
        """What the lock said of itself at the beginning; its MAC was checked."""
        return self._session.challenge

    @property
    def session(self) -> Session:
        """The session as it stands."""
        return self._session

    @classmethod
    async def begin(
        cls,
        wire: Wire,
        lock: LockIdentity,
        hear: Callable[[StateNews], None],
        spoilt: Callable[[], None],
        key_of: Callable[[int], bytes | None] = lambda epoch: None,
    ) -> Dialogue:
        """Say HELLO; nothing more is said where the CHALLENGE is not this lock's. `key_of` has K_gw of an epoch that the cloud sent.

        Raises:
            GrantRefusedError: another lock answers, or one that knows another key.
            LockSaidNoError: it refuses to talk.
            LinkError: the connection broke, or no CHALLENGE came in 5 s.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        await wire.send(client.hello(lock.gateway_id, nonce))
        try:
            async with asyncio.timeout(ANSWER_S):
                while (message := await wire.receive()).kind is not Kind.CHALLENGE:
                    spoilt()
        except TimeoutError as exc:
            text = "it is connected and does not answer HELLO"
            raise LinkError(DriverReason.CLOSED, text) from exc
        k_gw = key_of(epoch_hint(message.body)) or lock.k_gw
        session = client.opened(message.body, lock.gateway_id, k_gw, nonce)
        if session.challenge.lock_id != lock.lock_id:
            text = f"this is lock {session.challenge.lock_id.hex()}, not {lock.lock_id.hex()}"
            raise GrantRefusedError(LockRefusal.WRONG_LOCK, text)
        return cls(wire, session, hear, spoilt)

    async def ask(self, build: Build, within_s: float = ANSWER_S) -> client.Result:
        """Send one message and have its RESULT. What moves the bolt is sent with `move`.

        Raises:
            LockSaidNoError: the lock refused, at once or in its RESULT.
            LinkError: the connection broke, or no RESULT came in time.
        """
        session, message = build(self._session)
        self._session = session
        await self._wire.send(message)
        return await self._result(message.kind, within_s)

    async def move(self, build: Build) -> client.Result:
        """Send a message that moves the bolt.

        Raises:
            LockSaidNoError: the lock refused; the bolt did not move.
            InDoubtError: the message may have arrived and no answer came.
        """
        session, message = build(self._session)
        self._session = session
        try:
            await self._wire.send(message)
            return await self._result(message.kind, BOLT_ANSWER_S)
        except LinkError as exc:
            raise InDoubtError(message.kind, exc.message) from exc

    async def page(self, from_seq: int, count: int) -> LogPage:
        """Events of the lock's log. Raises LinkError, LockSaidNoError."""
        self._session, message = client.get_log(self._session, from_seq, count)
        await self._wire.send(message)
        async with _in_time("LOGPAGE", ANSWER_S):
            while True:
                found = self._take(await self._wire.receive())
                if isinstance(found, LogPage):
                    return found

    async def news(self) -> None:
        """Take what the lock says by itself, until cancelled. Raises LinkError: the connection broke."""
        while True:
            self._take(await self._wire.receive())

    async def _result(self, kind: Kind, within_s: float) -> client.Result:
        async with _in_time("RESULT", within_s):
            while True:
                found = self._take(await self._wire.receive())
                if isinstance(found, client.Result) and found.kind is kind:
                    break
        if found.code:
            raise LockSaidNoError(refusal_of(found.code), found.code)
        return found

    def _take(self, message: Message) -> client.Result | LogPage | None:
        """What a message says; one that came twice, too late or from elsewhere says nothing and is counted."""
        found: client.Result | LogPage | None = None
        try:
            if message.kind is Kind.RESULT:
                self._session, found = client.read_result(self._session, message)
            elif message.kind is Kind.LOGPAGE:
                self._session, found = client.read_page(self._session, message)
            elif message.kind is Kind.EVENT:
                self._session, news = client.read_news(self._session, message)
                self._hear(news)
            else:
                self._spoilt()
        except GrantRefusedError:
            self._spoilt()
        return found


@asynccontextmanager
async def _in_time(what: str, within_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as exc:
        text = f"no {what} came within {within_s:g} s"
        raise LinkError(DriverReason.NO_ANSWER, text) from exc
