"""systemd's watchdog, fed only while what is taken in moves on: through the pipeline and into the outbox's file."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edge.notify import Notifier
from tocsin.sdk import Clock


class Mark(msgspec.Struct, frozen=True):
    """How far the agent is. A disk that answers "full" still answers: a restart would only lose what waits."""

    waiting_samples: int
    judged_samples: int
    buffered_rows: int
    disk_answers: int  # commits and refused commits


class Watchdog:
    """Tells systemd that the agent works, three times in the time it allows.

    Rows may wait `commit_interval_s` for their commit before that counts as standing still.
    """

    def __init__(
        self,
        notifier: Notifier,
        clock: Clock,
        mark: Callable[[], Mark],
        *,
        commit_interval_s: float,
    ) -> None:
        self._notifier, self._clock, self._mark = notifier, clock, mark
        self._commit_interval_ns = int(commit_interval_s * 1e9)
        self._last: Mark | None = None
        self._kept_ns = 0

    async def run(self) -> None:
        """Feed it until cancelled; without a watchdog, nothing."""
        every_s = self._notifier.watchdog_s
        if every_s is None:
            return
        while True:
            if self.moves():
                self._notifier.send("WATCHDOG=1")
            await self._clock.sleep(every_s / 3)

    def moves(self) -> bool:
        """Whether something happened since the last call, or nothing had to."""
        before, now, now_ns = self._last, self._mark(), self._clock.mono_ns()
        self._last = now
        if before is None:
            self._kept_ns = now_ns
            return True
        judges = now.waiting_samples == 0 or now.judged_samples != before.judged_samples
        if now.buffered_rows == 0 or now.disk_answers != before.disk_answers:
            self._kept_ns = now_ns
        return judges and now_ns - self._kept_ns <= self._commit_interval_ns
