"""The drivers and buttons of a running agent, each a task of its own that can be ended and begun anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from tocsin.errors import DriverError

_log = logging.getLogger("edge")

PATIENCE_S = 5.0
Work = Callable[[], Awaitable[None]]


class Crew:
    """Tasks by name. One that ends with an error at the start ends the agent; later ones are only told."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Work) -> None:
        """Begin; whatever it raises ends the agent."""
        self._running[name] = self._tasks.create_task(_awaited(work), name=name)

    def replace(self, name: str, work: Work) -> None:
        """End what runs under this name at once, and begin `work` when it has ended."""
        before = self.end(name)
        self._running[name] = self._tasks.create_task(self._after(name, before, work), name=name)

    def end(self, name: str) -> asyncio.Task[None] | None:
        """Cancel one task."""
        task = self._running.pop(name, None)
        if task is not None and not task.done():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()
        return task

    async def _after(self, name: str, before: asyncio.Task[None] | None, work: Work) -> None:
        if self._ending:  # one of them may own the port that this one wants
            await asyncio.wait(set(self._ending), timeout=PATIENCE_S)
        if before is not None and not before.done():
            await ended([before], PATIENCE_S)
            await asyncio.wait({before})  # one port has one owner
        del before  # its cancellation holds all that it ran with, and that of the one before it
        try:
            await work()
        except DriverError as exc:
            _log.error("%s: going without it: %s", name, exc.message)

    async def settled(self) -> bool:
        """Wait until what is ending has ended, but not for ever; whether anything was."""
        if not self._ending:
            return False
        await asyncio.wait(set(self._ending), timeout=PATIENCE_S)
        await asyncio.sleep(0)  # those who take its place come first and let go of it
        return True

    async def wind_down(self, timeout_s: float) -> None:
        """Cancel all and wait for them, but not for ever."""
        await ended([task for name in list(self._running) if (task := self.end(name))], timeout_s)


async def ended(tasks: Iterable[asyncio.Task[None]], timeout_s: float) -> None:
    """Wait for cancelled tasks; who does not end is told."""
    waited = set(tasks)
    if waited:
        _, late = await asyncio.wait(waited, timeout=timeout_s)
        for task in late:
            _log.warning("%s does not end", task.get_name())


async def _awaited(work: Work) -> None:
    await work()
