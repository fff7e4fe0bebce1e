"""What was sent and is not yet committed by the cloud. Pure: time is an argument."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from edge.outbox import Chunk

_MAX_FACTOR = 16.0
_OVERTAKEN_S = 1.0  # what came later was committed: the broker lost this one, or a restarted ingester will not get it again


class Flight:
    """One chunk on its way."""

    __slots__ = ("chunk", "delay_s", "due_s", "hastened", "lane", "topic")

    def __init__(self, chunk: Chunk, topic: str, lane: str, due_s: float, delay_s: float) -> None:
        self.chunk, self.topic, self.lane = chunk, topic, lane
        self.due_s, self.delay_s = due_s, delay_s
        self.hastened = False


class Window:
    """At most `capacity` bytes outstanding, or one chunk if that alone is larger.

    Lanes: `urgent` (alarms, events) may fill all of it, `live` seven eighths, `hist` half, so that a backlog never
    holds up a live reading, nor either an alarm.
    """

    def __init__(self, capacity: int, resend_after_s: float) -> None:
        self.capacity, self._resend_after_s = capacity, resend_after_s
        self._flights: dict[int, Flight] = {}
        self.bytes = 0
        self.lane_bytes = {"urgent": 0, "live": 0, "hist": 0}
        self._share = {"urgent": capacity, "live": capacity * 7 // 8, "hist": capacity // 2}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, chunk_id: int) -> bool:
        return chunk_id in self._flights

    def admits(self, chunk: Chunk, lane: str) -> bool:
        """Whether `chunk` may be sent now."""
        size = len(chunk.payload)
        if not self._flights:
            return True
        if self.bytes + size > self.capacity:
            return False
        used = self.lane_bytes["hist"] if lane == "hist" else self.bytes
        return used + size <= self._share[lane] or self.lane_bytes[lane] == 0

    def sent(self, chunk: Chunk, topic: str, lane: str, now_s: float) -> None:
        """Count it until it is settled."""
        delay = self._resend_after_s
        self._flights[chunk.id] = Flight(chunk, topic, lane, now_s + _jitter(delay), delay)
        self.bytes += len(chunk.payload)
        self.lane_bytes[lane] += len(chunk.payload)

    def settle(self, is_settled: Callable[[Chunk], bool]) -> list[Flight]:
        """Take out what the cloud has committed."""
        done = [f for f in self._flights.values() if is_settled(f.chunk)]
        for flight in done:
            del self._flights[flight.chunk.id]
            self.bytes -= len(flight.chunk.payload)
            self.lane_bytes[flight.lane] -= len(flight.chunk.payload)
        return done

    def hasten(self, is_overtaken: Callable[[Chunk], bool], now_s: float) -> None:
        """Send soon, once, what later chunks of its lane overtook. Backlog is always overtaken by live: it waits."""
        for flight in self._flights.values():
            if flight.lane != "hist" and not flight.hastened and is_overtaken(flight.chunk):
                flight.hastened = True
                flight.due_s = min(flight.due_s, now_s + _jitter(_OVERTAKEN_S))

    def due(self, now_s: float) -> list[Flight]:
        """What waited too long, oldest first; each is given its next, doubled wait."""
        late = [f for f in self._flights.values() if f.due_s <= now_s]
        for flight in late:
            flight.delay_s = min(flight.delay_s * 2.0, self._resend_after_s * _MAX_FACTOR)
            flight.due_s = now_s + _jitter(flight.delay_s)
        return sorted(late, key=_by_id)

    def next_due_s(self) -> float | None:
        """When `due` will next have something."""
        return min((f.due_s for f in self._flights.values()), default=None)

    def flights(self) -> Iterable[Flight]:
        """Everything outstanding."""
        return self._flights.values()


def _by_id(flight: Flight) -> int:
    return flight.chunk.id


def _jitter(seconds: float) -> float:
    return seconds * random.uniform(0.8, 1.2)
