"""From threads to the event loop, a bounded number of items at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """When it is full, the thread that puts waits: nothing that was looked at is lost, cameras pass frames over meanwhile."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._room = threading.Condition()
        self._there = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def put(self, item: T) -> bool:
        """From any thread but the loop's; False: closed, the item is not taken."""
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            self._items.append(item)
            if len(self._items) == 1:
                self._loop.call_soon_threadsafe(self._there.set)
            return True

    async def get(self) -> T | None:
        """The next item; None: closed and empty."""
        while True:
            with self._room:
                if self._items:
                    item = self._items.popleft()
                    self._room.notify()
                    return item
                if self._closed:
                    return None
                self._there.clear()
            await self._there.wait()

    def close(self) -> None:
        """From any thread: no more items; who waits to put gives up, who gets takes what is there."""
        with self._room:
            self._closed = True
            self._room.notify_all()
            self._loop.call_soon_threadsafe(self._there.set)
