"""Events on their way to the outbox, from code that must not wait."""

from __future__ import annotations

import asyncio
import logging

from edge.journal import Journal
from tocsin.errors import OutboxFullError

_log = logging.getLogger("edge.events")
_LONGEST = 4096


class EventQueue:
    """Bounded; when it is full the newest event is dropped and counted."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._queue: asyncio.Queue[tuple[str, str, str, dict[str, object]]] = asyncio.Queue(
            _LONGEST
        )
        self.dropped = 0

    def say(self, kind: str, device: str, text: str, data: dict[str, object]) -> None:
        """Take one event; never waits."""
        try:
            self._queue.put_nowait((kind, device, text, data))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Hand events to the outbox until cancelled."""
        while True:
            kind, device, text, data = await self._queue.get()
            try:
                await self._journal.put_event(kind, device, text, data)
            except OutboxFullError as exc:
                self.dropped += 1
                _log.error("event %s of %s is lost: %s", kind, device or "gateway", exc.message)
            finally:
                self._queue.task_done()

    async def drained(self) -> None:
        """Wait until everything taken is with the outbox."""
        await self._queue.join()
