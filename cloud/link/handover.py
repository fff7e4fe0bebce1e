"""From the network thread to the ingest thread, bounded in bytes; the network thread never waits."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from tocsin.contract import topics


@dataclass(frozen=True, slots=True)
class Received:
    """One message in hand. `generation` and `mid` acknowledge it on the connection it came by; `mid` 0 needs none."""

    topic: str
    payload: bytes
    received_ns: int
    generation: int
    mid: int = 0
    qos: int = 0

    @property
    def cost(self) -> int:
        """Bytes it takes while it waits, decoded or not."""
        return len(self.payload) + OVERHEAD_BYTES


OVERHEAD_BYTES = 1024  # of a message beside its payload: even an empty one takes memory
URGENT_RESERVE = 4 << 20  # bytes beyond the limit that only alarms and events may use


class Handover:
    """Two lanes: alarms and events overtake telemetry.

    Overflow: `put` says no, the message stays unacknowledged, and the broker keeps it until the link asks for it
    again (see `MqttLink`).
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Condition()
        self._urgent: deque[Received] = deque()
        self._bulk: deque[Received] = deque()
        self._bytes = 0
        self._held = 0  # bytes the ingest thread has taken and not yet stored
        self._closed = False
        self.overflows = 0

    def put(self, message: Received) -> bool:
        """Whether there was room."""
        size = message.cost
        urgent = _is_urgent(message.topic)
        with self._lock:
            limit = self._limit + (URGENT_RESERVE if urgent else 0)
            if self._bytes + self._held + size > limit:
                self.overflows += 1
                return False
            (self._urgent if urgent else self._bulk).append(message)
            self._bytes += size
            self._lock.notify()
            return True

    def take(self, timeout_s: float) -> list[Received]:
        """Everything waiting, alarms first; waits up to `timeout_s` for the first. Its bytes count until `release`."""
        with self._lock:
            if not self._urgent and not self._bulk and not self._closed and timeout_s > 0:
                self._lock.wait(timeout_s)
            taken = [*self._urgent, *self._bulk]
            self._urgent.clear()
            self._bulk.clear()
            self._held += self._bytes
            self._bytes = 0
            return taken

    def release(self, size: int) -> None:
        """`size` bytes of what was taken are stored or refused."""
        with self._lock:
            self._held -= size

    @property
    def roomy(self) -> bool:
        """Whether less than half of the limit is in use."""
        with self._lock:
            return self._bytes + self._held < self._limit // 2

    @property
    def waiting_bytes(self) -> int:
        """Bytes in hand, taken or not."""
        with self._lock:
            return self._bytes + self._held

    def wake(self) -> None:
        """End a waiting `take` early."""
        with self._lock:
            self._lock.notify()

    def close(self) -> None:
        """`take` waits no more."""
        with self._lock:
            self._closed = True
            self._lock.notify()


def _is_urgent(topic: str) -> bool:
    tail = topic.removesuffix("/hist").rpartition("/")[2]
    return tail != topics.TELEMETRY
