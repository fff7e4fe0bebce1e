"""From threads to the event loop: items that wait for room, or the newest of each kind."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class _ToLoop(Generic[T]):
    """What both have in common: a lock, and waking who waits on the loop."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._there = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def get(self) -> T | None:
        """The next item; None: closed and empty."""
        while True:
            with self._changed:
                item = self._pop()
                if item is not None:
                    self._changed.notify()
                    return item
                if self._closed:
                    return None
                self._there.clear()
            await self._there.wait()

    def close(self) -> None:
        """From any thread: no more items; who waits to put gives up, who gets takes what is there."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._wake()

    def _pop(self) -> T | None:
        raise NotImplementedError

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(self._there.set)


class Handover(_ToLoop[T]):
    """When it is full, the thread that puts waits: nothing that was looked at is lost, cameras pass frames over meanwhile."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._items: deque[T] = deque()
        self._capacity = capacity

    def put(self, item: T) -> bool:
        """From any thread but the loop's; False: closed, the item is not taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            self._items.append(item)
            self._wake()
            return True

    def _pop(self) -> T | None:
        return self._items.popleft() if self._items else None


class Newest(_ToLoop[T]):
    """One item a key: a newer one takes the place of what nobody has asked for yet. Nobody waits to put."""

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, T] = {}

    def put(self, key: str, item: T) -> None:
        """From any thread."""
        with self._changed:
            self._items[key] = item
            self._wake()

    def _pop(self) -> T | None:
        return self._items.pop(next(iter(self._items))) if self._items else None
