"""Events on their way to the outbox, from code that must not wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from edge.journal import Journal, Told
from tocsin.errors import OutboxCorruptError, OutboxError
from tocsin.sdk import Clock

_log = logging.getLogger("edge.events")
_LONGEST = 4096
_AT_ONCE = 32  # events in one commit; an alarm waits for no more
_RETRY_S = 1.0


class EventQueue:
    """Bounded; when it is full the newest event is dropped and counted. What the outbox refuses is tried again."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._queue: asyncio.Queue[Told] = asyncio.Queue(_LONGEST)
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
            told = [await self._queue.get()]
            while len(told) < _AT_ONCE and not self._queue.empty():
                told.append(self._queue.get_nowait())
            try:
                await self._keep(told)
            finally:
                for _ in told:
                    self._queue.task_done()

    async def _keep(self, told: Sequence[Told]) -> None:
        refused = False
        while True:
            try:
                await self._journal.put_events(told)
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
