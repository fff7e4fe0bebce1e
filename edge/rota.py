"""Whose turn it is on a line that devices share: what each does to the others, and what it may not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Generic, TypeVar

NS = 1_000_000_000
DEAD_SHARE = 10  # devices that do not answer get a tenth of the line's time
QUICK_FACTOR = 4.0  # a dead device is given so many times the longest answer it ever took
QUICK_MIN_S = 0.1
FULL_EVERY_S = 300.0  # so often a dead device is given its full time-out, fits it or not
SLOW_FACTOR = 4.0  # a device that takes so many times as long as another lets that one go first


class Turn:
    """When one device is due, and how it has fared. Times are monotonic nanoseconds."""

    def __init__(self, *, period_s: float, timeout_s: float, backoff_max_s: float) -> None:
        self.timeout_s = timeout_s
        self.period_ns = int(period_s * NS)
        self.due_ns = 0
        self.tried = False
        self.failures = 0
        self._backoff_max_s = backoff_max_s
        self._longest_s = 0.0
        self.usual_s = 0.0  # how long its reads have taken lately
        self.gap_s = math.inf  # line time that is free when its turn begins
        self._full_from_ns = 0

    @property
    def well(self) -> bool:
        """Whether its last read succeeded."""
        return self.tried and not self.failures

    @property
    def patience_s(self) -> float:
        """How long to wait for its answer now."""
        if not self.failures or self.due_ns >= self._full_from_ns:
            return self.timeout_s
        longest_s = QUICK_FACTOR * self._longest_s or self.timeout_s
        return min(self.timeout_s, max(QUICK_MIN_S, min(longest_s, self.gap_s)))

    def succeeded(self, started_ns: int, now_ns: int) -> int:
        """Notes a read and sets the next one on the grid of its period; returns how many were missed."""
        took_s = (now_ns - started_ns) / NS
        self._longest_s = max(self._longest_s, took_s)
        self.usual_s = max(0.9 * self.usual_s, took_s)
        fresh = not self.well
        self.tried, self.failures = True, 0
        if fresh:
            self.due_ns = started_ns
        missed = (now_ns - self.due_ns) // self.period_ns
        self.due_ns += (missed + 1) * self.period_ns
        return int(missed)

    def failed(self, now_ns: int, random: Random) -> None:
        """Notes a failed read and sets the next try: doubling, with jitter, capped."""
        if self.patience_s >= self.timeout_s:
            self._full_from_ns = now_ns + int(FULL_EVERY_S * NS)
        self.tried = True
        self.failures += 1
        pause_s = min(self._backoff_max_s, self.period_ns / NS * 2.0 ** min(self.failures - 1, 16))
        self.due_ns = now_ns + int(pause_s * random.uniform(0.8, 1.2) * NS)


T = TypeVar("T", bound=Turn)


class Rota(Generic[T]):
    """Whose turn it is. Devices that are well go first; the others never take more than their share.

    A device that does not answer is tried where the line is free for long enough, and a slow one after those it
    would make late, so that the sample times of the others keep their grid.
    """

    def __init__(self, stations: Sequence[T], now_ns: int) -> None:
        self._stations = stations
        self._dead_from_ns = 0
        self._dead_had_turn = False
        self._widest_ns = 0.0  # the widest gap between reads, lately
        for station in stations:
            station.due_ns = now_ns

    def replace(self, stations: Sequence[T], now_ns: int) -> None:
        """Other devices from now on; those that stay keep their turn, new ones are due."""
        for station in stations:
            if station not in self._stations:
                station.due_ns = now_ns
        self._stations = stations

    def next(self, now_ns: int) -> tuple[T, int]:
        """(station, when it may be read); the time is past or now if its turn has come."""
        healthy = [s for s in self._stations if s.well]
        well = self._polite(min(healthy, key=_due), healthy, now_ns) if healthy else None
        rest = [s for s in self._stations if not s.well]
        other = min(rest, key=self._due_with_share, default=None)
        if other is None or (well is not None and well.due_ns <= now_ns and self._dead_had_turn):
            if well is None:
                raise ValueError("no stations")
            return well, well.due_ns
        other_ns = self._due_with_share(other)
        if well is None:
            other.gap_s = math.inf
            return other, other_ns
        if other_ns > now_ns and well.due_ns <= other_ns:
            return well, well.due_ns
        return (
            (other, other_ns) if self._fits(other, other_ns, well, now_ns) else (well, well.due_ns)
        )

    def _polite(self, station: T, healthy: Sequence[T], now_ns: int) -> T:
        """`station`, or the quick one that it would make late; it waits no longer than half its period."""
        if now_ns - station.due_ns > station.period_ns // 2:
            return station
        end_ns = max(now_ns, station.due_ns) + int(station.usual_s * NS)
        quick = [
            s for s in healthy if s.due_ns < end_ns and s.usual_s * SLOW_FACTOR < station.usual_s
        ]
        return min(quick, key=_due, default=station)

    def _fits(self, other: T, other_ns: int, well: T, now_ns: int) -> bool:
        """Whether `other` may be tried before `well` is due. In a line without room the widest gap must do."""
        start_ns = max(now_ns, other_ns)
        gap_ns = max(0, well.due_ns - start_ns)
        self._widest_ns = max(0.95 * self._widest_ns, float(gap_ns))
        if not other.tried:  # at the start nobody's grid is set yet
            other.gap_s = math.inf
            return True
        other.gap_s = gap_ns / NS
        overdue_ns = start_ns - other_ns
        return (
            gap_ns >= other.patience_s * NS
            or (overdue_ns > well.period_ns and gap_ns >= 0.8 * self._widest_ns)
            or overdue_ns > 4 * well.period_ns
        )

    def _due_with_share(self, station: T) -> int:
        return max(station.due_ns, self._dead_from_ns) if station.tried else station.due_ns

    def took(self, station: T, started_ns: int, now_ns: int) -> None:
        """A turn is over; `station` has noted how it went."""
        self._dead_had_turn = not station.well
        if not station.well:
            self._dead_from_ns = now_ns + (DEAD_SHARE - 1) * (now_ns - started_ns)


def _due(station: Turn) -> int:
    return station.due_ns
