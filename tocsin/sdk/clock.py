"""Time is injected: nothing below `app` reads a clock of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time (UTC) and monotonic time, both in nanoseconds, and a sleep that belongs to them."""

    def now_ns(self) -> int:
        """Unix nanoseconds UTC; may step."""
        ...

    def mono_ns(self) -> int:
        """Nanoseconds from an arbitrary start; never steps back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend for `seconds` of monotonic time."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
