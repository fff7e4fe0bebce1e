"""What a lock's client may use of the gateway."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import msgspec

from edge.locks.interface import LockNews, TimeKey
from edge.locks.order_book import OrderBook
from tocsin.errors import DriverError
from tocsin.grants.claims import Claims
from tocsin.grants.issuers import IssuerKeys
from tocsin.sdk import Clock, Direction


class LockRules(Protocol):
    """What the rest of the gateway says of its locks. `orders` are the cloud's to them; None: no cloud sends any."""

    orders: OrderBook | None

    def why_not(self, lock: str, claims: Claims) -> str:
        """Why this grant must not open now; "" where nothing stands against it."""
        ...

    def why_not_relock(self, lock: str) -> str:
        """Why it must not be locked now, whatever whoever asks has counted; "" where nothing stands against it."""
        ...

    def capability(self, claims: Claims) -> bytes | None:
        """K_grant of a grant that came without it, where this gateway keeps one."""
        ...

    def knows_time(self) -> bool:
        """Whether the gateway's clock was ever set."""
        ...

    def clock_error_s(self) -> int | None:
        """Bound of the clock's error while it is disciplined, whole seconds up to 59; None: tell no lock the time."""
        ...

    def time_key(self, lock: str) -> TimeKey | None:
        """The key to tell this lock the time, if the cloud lent one."""
        ...

    def hear(self, news: LockNews) -> None:
        """Something changed at a lock."""
        ...


class NoRules:
    """A gateway without permits: only grants count, and no lock is told the time."""

    orders: OrderBook | None = None

    def why_not(self, lock: str, claims: Claims) -> str:
        return ""

    def why_not_relock(self, lock: str) -> str:
        return ""

    def capability(self, claims: Claims) -> bytes | None:
        return None

    def knows_time(self) -> bool:
        return True

    def clock_error_s(self) -> int | None:
        return None

    def time_key(self, lock: str) -> TimeKey | None:
        return None

    def hear(self, news: LockNews) -> None:
        pass


class Surroundings(msgspec.Struct):
    """`tell` journals an event and returns when it is durable; `spawn` runs a task of the driver's."""

    clock: Clock
    log: logging.Logger
    issuers: IssuerKeys
    count: Callable[[str, int], None]
    frame: Callable[[str, Direction, bytes], None]
    available: Callable[[str], None]
    unavailable: Callable[[str, DriverError], None]
    tell: Callable[[str, str, str, dict[str, object]], Awaitable[None]]
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    rules: LockRules
    clock_error_s: int | None = None  # what the configuration says of a clock nobody disciplines
