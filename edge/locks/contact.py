"""Reaching one lock: wait until it is heard, connect, say HELLO; three attempts, each with its time-outs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec

from edge.locks.dialogue import Dialogue, LockIdentity
from edge.locks.radio import Radio, Sighting
from edge.locks.surroundings import Surroundings
from edge.locks.wire import LockSaidNoError, Wire
from firmware_bridges.lock import client
from firmware_bridges.lock.client import StateNews
from tocsin.errors import DriverReason, GrantRefusedError, LinkError
from tocsin.grants.lock_orders import TimeOrder, maced_order

ATTEMPTS = 3
_GOOD_TIME = 2


class Timing(msgspec.Struct, frozen=True):
    """How long each step may take, seconds. A lock advertises at least every few seconds: listen for several of them."""

    find_s: float = 10.0
    connect_s: float = 10.0


class Contact:
    """Makes sessions with one lock. Raises what it cannot do with the device's name in it."""

    def __init__(
        self, name: str, lock: LockIdentity, radio: Radio, timing: Timing, around: Surroundings
    ) -> None:
        self._name, self._lock, self._radio = name, lock, radio
        self._timing, self._around = timing, around
        self._heard = asyncio.Event()
        self._sighting: Sighting | None = None

    def saw(self, sighting: Sighting) -> None:
        """It advertises."""
        self._sighting = sighting
        self._heard.set()

    @asynccontextmanager
    async def session(self, hear: Callable[[StateNews], None]) -> AsyncIterator[Dialogue]:
        """A session for the length of the block; the lock's time is set where it can be.

        Raises:
            LinkError: not heard, not connected, no answer, or another lock answers: nothing that matters was sent.
        """
        async with AsyncExitStack() as stack:
            dialogue = await self._begin(stack, hear)
            await self._tell_time(dialogue)
            yield dialogue

    async def _begin(self, stack: AsyncExitStack, hear: Callable[[StateNews], None]) -> Dialogue:
        error: LinkError | LockSaidNoError
        for attempt in range(ATTEMPTS):
            async with AsyncExitStack() as trying:
                try:
                    dialogue = await self._try(trying, hear)
                except (LinkError, LockSaidNoError) as exc:
                    error = exc
                    self._around.count("lock.failed_contacts", 1)
                    if attempt + 1 == ATTEMPTS or self._heard_nothing(exc):
                        break
                except GrantRefusedError as exc:
                    text = f"{exc.message}; nothing more was sent to it"
                    hint = "was the lock replaced, or its gateways revoked? commission it anew"
                    error = LinkError(DriverReason.REFUSED, text, hint=hint)
                    break
                else:
                    await stack.enter_async_context(trying.pop_all())
                    return dialogue
        raise LinkError(error.reason, error.message, device=self._name, hint=error.hint) from error

    def _heard_nothing(self, error: LinkError | LockSaidNoError) -> bool:
        return self._sighting is None

    async def _try(self, stack: AsyncExitStack, hear: Callable[[StateNews], None]) -> Dialogue:
        if self._sighting is None:
            try:
                async with asyncio.timeout(self._timing.find_s):
                    await self._heard.wait()
            except TimeoutError as exc:
                text = f"not heard within {self._timing.find_s:g} s"
                hint = "is it in range, is its battery good, is another phone connected to it?"
                raise LinkError(DriverReason.CLOSED, text, hint=hint) from exc
        assert self._sighting is not None  # noqa: S101 - it was heard
        wires: list[Wire] = []

        def lost() -> None:
            for wire in wires:
                wire.lost()

        connecting = self._radio.connected(self._sighting.device, self._timing.connect_s, lost)
        connection = await stack.enter_async_context(connecting)
        wire = Wire(connection, partial(self._around.frame, self._name), self.spoilt)
        wires.append(wire)
        await wire.begin()
        return await Dialogue.begin(wire, self._lock, hear, self.spoilt, self._key_of)

    def _key_of(self, epoch: int) -> bytes | None:
        orders = self._around.rules.orders
        return orders.gateway_key(self._lock.lock_id, epoch) if orders else None

    def spoilt(self) -> None:
        """Bytes came that are no answer of this session."""
        self._around.count("lock.spoilt_answers", 1)

    async def _tell_time(self, dialogue: Dialogue) -> None:
        """A lock that does not know the time is told, where the cloud lent this gateway a key for that."""
        challenge, rules = dialogue.challenge, self._around.rules
        if challenge.time_quality == _GOOD_TIME:
            return
        key, error_s = rules.time_key(self._name), rules.clock_error_s()
        if error_s is None and rules.knows_time():
            error_s = self._around.clock_error_s
        now_s = self._around.clock.now_ns() // 1_000_000_000
        if key is None or error_s is None or not key.from_s <= now_s < key.until_s:
            return
        order = TimeOrder(self._lock.lock_id, now_s, challenge.nonce, error_s)
        span = key.from_s.to_bytes(4, "big") + key.until_s.to_bytes(4, "big")
        body = span + maced_order(order, key.key)
        try:
            await dialogue.ask(lambda s: client.tell_time(s, client.DELEGATED, body))
        except LockSaidNoError as exc:
            self._around.log.warning("%s does not take the time: %s", self._name, exc.message)
