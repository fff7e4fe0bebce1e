"""The gateway's locks for its other rooms: commands through the order desk, states, news, and the rules of permits."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from edge.locks.interface import (
    UNLOCK_WITHIN_S,
    Challenge,
    Headcount,
    HeldGrant,
    HolderProof,
    LockNews,
    LockState,
    TimeKey,
)
from edge.locks.order_book import OrderBook
from edge.locks.surroundings import LockRules
from edge.orders.results import Result
from tocsin.contract.messages import ClockState
from tocsin.errors import UsageError
from tocsin.grants.claims import Claims
from tocsin.grants.lock_orders import REVOKE, ROTATE, TIME
from tocsin.sdk import DeviceSpec, Driver

_KINDS = {TIME: "time", REVOKE: "revoke", ROTATE: "rotate"}
_LONGEST_ERROR_S = 59  # a clock known worse than this tells no lock the time
_log = logging.getLogger("edge.locks")


@runtime_checkable
class HoldsLocks(Protocol):
    """A driver of locks: it asks `rules` before it opens one; `wake` has it contact a lock at once."""

    rules: LockRules

    @property
    def devices(self) -> tuple[DeviceSpec, ...]: ...

    def wake(self, lock: str) -> None: ...


class Orders(Protocol):
    """What the desk needs of the gateway's order desk."""

    async def ask(
        self, device: str, name: str, args: Mapping[str, Any], actor: str, within_s: float
    ) -> Result: ...


class Carrier(Protocol):
    """The driver of one lock, under supervision."""

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]: ...


class LockDesk:
    """`Locks` of edge.locks.interface, and the `LockRules` of the drivers it was given.

    `find` gives the driver of a lock, `locks` the ids of all, `clock` the state of the gateway's clock.
    """

    def __init__(
        self,
        orders: Callable[[], Orders],
        find: Callable[[str], Carrier | None],
        locks: Callable[[], tuple[str, ...]],
        clock: Callable[[], ClockState],
        book: OrderBook | None = None,
    ) -> None:
        self.orders = book
        if book is not None:
            book.wake = self.wake
        self._drivers: dict[str, HoldsLocks] = {}
        self._desk, self._find, self._locks, self._clock = orders, find, locks, clock
        self._states: dict[str, LockState] = {}
        self._time_keys: dict[str, TimeKey] = {}
        self._capabilities: list[Callable[[Claims], bytes | None]] = []
        self._rules: list[Callable[[str, Claims], str]] = []
        self._relock_rules: list[Callable[[str], str]] = []
        self._hearers: list[Callable[[LockNews], None]] = []

    def adopt(self, driver: Driver) -> Driver:
        """A driver that was just built; one of locks obeys this desk from now on."""
        if isinstance(driver, HoldsLocks):
            driver.rules = self
            self._drivers |= {spec.id: driver for spec in driver.devices}
        return driver

    def wake(self, lock: str) -> None:
        """Contact a lock now."""
        if lock in self._drivers:
            self._drivers[lock].wake(lock)

    def names(self) -> tuple[str, ...]:
        """Device ids of the configured locks."""
        return self._locks()

    def state(self, lock: str) -> LockState:
        """What is known now. Raises UsageError: no such lock."""
        if lock not in self._locks():
            known = ", ".join(self._locks()) or "none is configured"
            raise UsageError(f"no lock {lock!r} at this gateway", hint=f"locks: {known}")
        return self._states.get(lock, LockState(lock, available=False))

    async def challenge(self, lock: str, *, actor: str) -> Challenge:
        """A session with the lock, and its nonce. Not journalled: it moves nothing."""
        self.state(lock)
        carrier = self._find(lock)
        if carrier is None:
            raise UsageError(f"no driver has the lock {lock!r}")
        _log.debug("%s asks %s for a challenge", actor, lock)
        told = await carrier.command(lock, "challenge", {}, UNLOCK_WITHIN_S)
        return Challenge(
            lock, bytes.fromhex(told["lock_id"]), bytes.fromhex(told["nonce"]), told["until_ns"]
        )

    async def unlock(
        self, challenge: Challenge, grant: HeldGrant, proof: HolderProof, *, actor: str
    ) -> Result:
        """Open under a live grant of this holder."""
        args = {"nonce": challenge.nonce, "grant": grant, "proof": proof}
        return await self._ask(challenge.lock, "unlock", args, actor)

    async def rescue(
        self,
        challenge: Challenge,
        grants: tuple[HeldGrant, HeldGrant],
        proofs: tuple[HolderProof, HolderProof],
        *,
        actor: str,
    ) -> Result:
        """Open under two rescue grants of two people."""
        args = {"nonce": challenge.nonce, "grants": grants, "proofs": proofs}
        return await self._ask(challenge.lock, "rescue", args, actor)

    async def relock(
        self, lock: str, grant: HeldGrant | None, headcount: Headcount, *, actor: str
    ) -> Result:
        """Lock again, unless anyone is inside or nobody knows."""
        return await self._ask(lock, "relock", {"grant": grant, "headcount": headcount}, actor)

    async def order(
        self,
        lock: str,
        order: bytes,
        kind: bytes,
        *,
        actor: str,
        form: str = "signed",
        challenge: Challenge | None = None,
    ) -> Result:
        """Hand a TIME, REVOKE or ROTATE to the lock."""
        args: dict[str, Any] = {"kind": _KINDS[kind], "form": form, "order": order}
        if challenge is not None:
            args["nonce"] = challenge.nonce
        return await self._ask(lock, "order", args, actor)

    async def sync_log(self, lock: str, *, actor: str) -> Result:
        """Read the lock: its state and what is new in its log."""
        return await self._ask(lock, "read", {}, actor)

    async def _ask(self, lock: str, name: str, args: dict[str, Any], actor: str) -> Result:
        return await self._desk().ask(lock, name, args, actor, UNLOCK_WITHIN_S)

    def refuse_when(self, rule: Callable[[str, Claims], str]) -> None:
        """`rule(lock, claims)` is asked before every unlock."""
        self._rules.append(rule)

    def keep_open_when(self, rule: Callable[[str], str]) -> None:
        """`rule(lock)` is asked before every relock."""
        self._relock_rules.append(rule)

    def open_with(self, find: Callable[[Claims], bytes | None]) -> None:
        """`find(claims)` has the capability of a grant that came without it."""
        self._capabilities.append(find)

    def listen(self, hear: Callable[[LockNews], None]) -> None:
        """`hear` is called with all news."""
        self._hearers.append(hear)

    def lend_time(self, lock: str, key: TimeKey) -> None:
        """The cloud lets this gateway tell the lock the time."""
        self._time_keys[lock] = key

    def why_not(self, lock: str, claims: Claims) -> str:
        """The first rule that stands against it."""
        return next((said for rule in self._rules if (said := rule(lock, claims))), "")

    def why_not_relock(self, lock: str) -> str:
        """The same for a relock."""
        return next((said for rule in self._relock_rules if (said := rule(lock))), "")

    def capability(self, claims: Claims) -> bytes | None:
        """What is kept for it here."""
        return next((key for find in self._capabilities if (key := find(claims))), None)

    def knows_time(self) -> bool:
        """Whether the clock was ever set."""
        return self._clock().state != "unset"

    def clock_error_s(self) -> int | None:
        """The clock's bound while it is disciplined."""
        state = self._clock()
        if state.state not in ("ntp", "gps") or state.error_ms is None:
            return None
        error_s = math.ceil(state.error_ms / 1000)
        return error_s if error_s <= _LONGEST_ERROR_S else None

    def time_key(self, lock: str) -> TimeKey | None:
        """What the cloud lent."""
        return self._time_keys.get(lock)

    def hear(self, news: LockNews) -> None:
        """A driver tells something of a lock."""
        self._states[news.lock] = news.state
        for hear in self._hearers:
            hear(news)
