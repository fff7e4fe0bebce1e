"""What the console subscribes to: changes, fanned out to readers of any speed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence

from tocsin.errors import SpineError, SpineReason

MAX_URGENT = 10_000
LAST_EVERY_S = 0.1


class _Subscriber:
    __slots__ = ("last", "ready", "too_slow", "urgent")

    def __init__(self) -> None:
        self.urgent: deque[dict[str, object]] = deque()
        self.last: dict[str, Sequence[object]] = {}
        self.ready = asyncio.Event()
        self.too_slow = False


class Feed:
    """Publish from the event loop; every subscriber has a bounded queue of its own.

    Items: {"kind": "last", "rows": [...]} at most ten times a second, {"kind": "alarm", "alarm": {...}},
    {"kind": "command", ...}, {"kind": "device", "device": {...}}, {"kind": "gateway", "gateway": {...}}.

    Overflow: last values of one device overwrite one another, so their queue holds one entry per device. Everything
    else is never dropped singly: a subscriber that lags 10,000 of them is ended with `SpineReason.TOO_SLOW`; it
    subscribes again and reads the whole state.
    """

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()

    def publish(self, kind: str, body: dict[str, object]) -> None:
        """An alarm, device or gateway changed."""
        for subscriber in self._subscribers:
            if len(subscriber.urgent) >= MAX_URGENT:
                subscriber.too_slow = True
            else:
                subscriber.urgent.append({"kind": kind, kind: body})
            subscriber.ready.set()

    def publish_last(self, moved: Mapping[str, Sequence[object]]) -> None:
        """The last values of these devices moved."""
        for subscriber in self._subscribers:
            subscriber.last.update(moved)
            subscriber.ready.set()

    @property
    def wanted(self) -> bool:
        """Whether anyone listens."""
        return bool(self._subscribers)

    async def subscribe(self) -> AsyncGenerator[dict[str, object], None]:
        """Changes from now on.

        Raises:
            SpineError: the reader was too slow.
        """
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        loop = asyncio.get_running_loop()
        next_last = 0.0
        try:
            yield {"kind": "subscribed"}
            while True:
                if not subscriber.urgent and subscriber.last and not subscriber.too_slow:
                    subscriber.ready.clear()
                    try:
                        async with asyncio.timeout_at(next_last):
                            await subscriber.ready.wait()
                    except TimeoutError:
                        pass
                elif not subscriber.urgent:
                    await subscriber.ready.wait()
                subscriber.ready.clear()
                if subscriber.too_slow:
                    raise SpineError(SpineReason.TOO_SLOW, "the subscriber does not keep up")
                while subscriber.urgent:
                    yield subscriber.urgent.popleft()
                if subscriber.last and loop.time() >= next_last:
                    changed, subscriber.last = subscriber.last, {}
                    next_last = loop.time() + LAST_EVERY_S
                    yield {
                        "kind": "last",
                        "rows": [row for rows in changed.values() for row in rows],
                    }
        finally:
            self._subscribers.discard(subscriber)
