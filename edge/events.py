"""Events on their way to the outbox, from code that must not wait."""

from __future__ import annotations

import asyncio
import logging

from edge.journal import Journal
from tocsin.errors import OutboxCorruptError, OutboxError
from tocsin.sdk import Clock

_log = logging.getLogger("edge.events")
_LONGEST = 4096
_RETRY_S = 1.0


class EventQueue:
    """Bounded; when it is full the newest event is dropped and counted. What the outbox refuses is tried again."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
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
                await self._keep(kind, device, text, data)
            finally:
                self._queue.task_done()

    async def _keep(self, kind: str, device: str, text: str, data: dict[str, object]) -> None:
        refused = False
        while True:
            try:
                await self._journal.put_event(kind, device, text, data)
            except OutboxCorruptError:
                raise
            except OutboxError as exc:
                if not refused:
                    _log.error("events wait, the outbox takes none: %s", exc.message)
                refused = True
                await self._clock.sleep(_RETRY_S)
            else:
                return

    async def drained(self) -> None:
        """Wait until everything taken is with the outbox."""
        await self._queue.join()
