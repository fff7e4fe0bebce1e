"""When the next frame of a file is due, so that it comes like a camera's."""

from __future__ import annotations

from edge.vision.sources.source import Wait
from tocsin.sdk import Clock

_NS = 1_000_000_000


class Pacing:
    """Frames `fps` a second on the clock. Who comes late gets the newest frame that is due, as from a camera."""

    def __init__(self, fps: float, clock: Clock, wait: Wait) -> None:
        self._period_ns = max(1, round(_NS / fps))
        self._clock, self._wait = clock, wait
        self._due_ns: int | None = None

    def start(self) -> None:
        """The first frame is due now."""
        self._due_ns = self._clock.mono_ns()

    def next(self) -> int:
        """Waits until a frame is due; how many are (one, unless the caller was late), 0 when the source shall end."""
        if self._due_ns is None:
            self.start()
        assert self._due_ns is not None  # noqa: S101 - start set it
        while (left_ns := self._due_ns - self._clock.mono_ns()) > 0:
            if self._wait(left_ns / _NS):
                return 0
        due = 1 + (self._clock.mono_ns() - self._due_ns) // self._period_ns
        self._due_ns += due * self._period_ns
        return due
