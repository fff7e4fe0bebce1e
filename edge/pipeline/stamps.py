"""The time of a row, and the clock epochs of a gateway."""

from __future__ import annotations

import msgspec

from tocsin.sdk.samples import SourceWindow

MAX_FUTURE_NS = 300_000_000_000
STEP_NS = 1_000_000_000
_REMEMBERED = 256  # source times per device whose repeats still get stamps of their own


class Stamps:
    """Places the samples of one device in time: every row a stamp of its own."""

    __slots__ = ("_future_ns", "_last_ns", "_past_ns", "_taken")

    def __init__(self, window: SourceWindow, last_ns: int | None = None) -> None:
        self._past_ns = None if window.max_past_s is None else int(window.max_past_s * 1e9)
        self._future_ns = min(int(window.max_future_s * 1e9), MAX_FUTURE_NS)
        self._last_ns = last_ns
        self._taken: dict[int, int] = {}

    def follow(self, before: Stamps) -> None:
        """Go on after the stamps that `before` gave."""
        self._last_ns, self._taken = before._last_ns, before._taken

    def place(self, ts_ns: int, source_ns: int | None) -> tuple[int, bool]:
        """(time of the row, whether the source's time was believed).

        Equal source times get +1, +2 ns in the order of arrival. Gateway stamps increase strictly; only a step back
        of the clock by more than a second, which opens a new epoch, is followed.
        """
        if source_ns is not None and self._plausible(ts_ns, source_ns):
            return self._source(source_ns), True
        last = self._last_ns
        if last is not None and last - STEP_NS <= ts_ns <= last:
            ts_ns = last + 1
        self._last_ns = ts_ns
        return ts_ns, False

    def _plausible(self, ts_ns: int, source_ns: int) -> bool:
        ahead = source_ns - ts_ns
        return ahead <= self._future_ns and (self._past_ns is None or -ahead <= self._past_ns)

    def _source(self, source_ns: int) -> int:
        taken = self._taken
        n = taken.pop(source_ns, 0)
        while n and source_ns + n in taken:
            n += 1
        taken[source_ns] = n + 1
        if len(taken) > _REMEMBERED:
            del taken[next(iter(taken))]
        return source_ns + n


class ClockStep(msgspec.Struct, frozen=True):
    """The wall clock went back: rows from here on belong to `epoch`."""

    epoch: int
    step_ns: int
    wall_ns: int


class Epochs:
    """Watches the wall clock against the monotonic one, and at the start against where an earlier run saw it last."""

    __slots__ = ("_last_wall_ns", "_offset_ns", "epoch")

    def __init__(self, epoch: int = 0, last_wall_ns: int = 0) -> None:
        self.epoch, self._last_wall_ns = epoch, last_wall_ns
        self._offset_ns: int | None = None

    def observe(self, wall_ns: int, mono_ns: int) -> ClockStep | None:
        """A step back of more than a second since the last call, if there was one."""
        offset = wall_ns - mono_ns
        before, self._offset_ns = self._offset_ns, offset
        if before is not None:
            step_ns = offset - before
        else:
            step_ns = wall_ns - (self._last_wall_ns or wall_ns)
        if step_ns >= -STEP_NS:
            return None
        self.epoch += 1
        return ClockStep(self.epoch, step_ns, wall_ns)
