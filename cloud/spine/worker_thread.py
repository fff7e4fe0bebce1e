"""A thread whose end, by whatever cause, ends the process that needs it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tocsin.errors import SpineError, SpineReason


class WorkerThreads:
    """Made in the loop whose `stop` each thread sets when it ends."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop, self._loop = stop, asyncio.get_running_loop()
        self._threads: list[threading.Thread] = []
        self._failed: BaseException | None = None

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread of its own."""

        def run() -> None:
            try:
                work()
            except BaseException as exc:
                self._failed = exc
                raise
            finally:
                self._loop.call_soon_threadsafe(self._stop.set)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def failed(self, error: BaseException) -> None:
        """Something else that must not end ended."""
        self._failed = error
        self._stop.set()

    async def join(self, timeout_s: float) -> bool:
        """Whether all have ended; waits up to `timeout_s` for each."""
        for thread in self._threads:
            await asyncio.to_thread(thread.join, timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def check(self) -> None:
        """After the end.

        Raises:
            SpineError: a thread failed; the process must end and start anew.
        """
        if self._failed is not None:
            raise SpineError(
                SpineReason.FAILED, f"a working thread failed: {self._failed}"
            ) from self._failed
