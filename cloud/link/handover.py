"""From the network thread to those that work, bounded in bytes; the network thread never waits."""

from __future__ import annotations

import threading
from collections import deque

import msgspec

from tocsin.contract import topics


class Received(msgspec.Struct, frozen=True, gc=False):
    """One message in hand. `generation` and `mid` acknowledge it on the connection it came by; `mid` 0 needs none.

    `letter`: the dead letter it was kept in, when it is tried again. From a log instead of the
    broker: `log_seq` acknowledges it there, and it was handed out `deliveries` times.
    """

    topic: str
    payload: bytes
    received_ns: int
    generation: int
    mid: int = 0
    letter: int = 0
    log_seq: int = 0
    deliveries: int = 1

    @property
    def cost(self) -> int:
        """Bytes it takes while it waits, decoded or not."""
        return len(self.payload) + OVERHEAD_BYTES

    @property
    def kind(self) -> str:
        """What it is by its topic."""
        return self.topic.removesuffix("/hist").rpartition("/")[2]


OVERHEAD_BYTES = 1024  # of a message beside its payload: even an empty one takes memory
URGENT_RESERVE = 4 << 20  # bytes beyond the limit that only what is no telemetry may use
ALARM_RESERVE = 4 << 20  # and beyond that only alarms
GATHER_S = (
    0.02  # telemetry waits so long for more: a few messages at a time cost twice what many do
)


class Handover:
    """Three lanes: alarms go to their own thread first, then with events and health ahead of telemetry.

    Overflow: `put` says no, the message stays unacknowledged, and the broker keeps it until the link asks for it
    again (see `MqttLink`).
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._any = threading.Condition(self._lock)
        self._any_urgent = threading.Condition(self._lock)
        self._any_alarm = threading.Condition(self._lock)
        self._alarms: deque[Received] = deque()
        self._urgent: deque[Received] = deque()
        self._bulk: deque[Received] = deque()
        self._bytes = 0  # of all that is neither stored nor refused, taken or not
        self._closed = False
        self.overflows = 0

    def put(self, *messages: Received) -> bool:
        """Whether there was room for all of them; where there was none, a message is left out."""
        alarms, urgent, left_out = False, False, 0
        with self._lock:
            for message in messages:
                kind, limit = message.kind, self._limit
                if kind == topics.TELEMETRY:
                    lane = self._bulk
                elif kind == topics.ALARM:
                    lane, limit = self._alarms, limit + URGENT_RESERVE + ALARM_RESERVE
                else:
                    lane, limit = self._urgent, limit + URGENT_RESERVE
                if self._bytes + message.cost > limit:
                    left_out += 1
                    continue
                self._bytes += message.cost
                lane.append(message)
                alarms |= lane is self._alarms
                urgent |= lane is self._urgent
            if alarms:
                self._any_alarm.notify()
            if urgent:
                self._any_urgent.notify()
            if self._urgent or self._bulk:
                self._any.notify()
            self.overflows += left_out
        return not left_out

    def take_alarms(self, timeout_s: float) -> list[Received]:
        """Every alarm waiting; waits up to `timeout_s` for the first. Each must be passed on."""
        with self._lock:
            if not self._alarms and not self._closed:
                self._any_alarm.wait(timeout_s)
            taken = list(self._alarms)
            self._alarms.clear()
            return taken

    def pass_on(self, message: Received) -> None:
        """An alarm that is kept, to be settled."""
        with self._lock:
            self._urgent.append(message)
            self._any_urgent.notify()
            self._any.notify()

    def take(self, timeout_s: float) -> list[Received]:
        """Everything but new alarms, telemetry last; waits up to `timeout_s` for the first, and a moment for more telemetry.

        The bytes count until `release`.
        """
        with self._lock:
            if not self._urgent and not self._bulk and not self._closed and timeout_s > 0:
                self._any.wait(timeout_s)
            if self._bulk and not self._urgent and not self._closed and timeout_s > 0:
                self._any_urgent.wait(min(GATHER_S, timeout_s))
            taken = [*self._urgent, *self._bulk]
            self._urgent.clear()
            self._bulk.clear()
            return taken

    def release(self, size: int) -> None:
        """`size` bytes of what was taken are stored or refused."""
        with self._lock:
            self._bytes -= size

    @property
    def roomy(self) -> bool:
        """Whether less than half of the limit is in use."""
        with self._lock:
            return self._bytes < self._limit // 2

    @property
    def waiting_bytes(self) -> int:
        """Bytes in hand, taken or not."""
        with self._lock:
            return self._bytes

    def wake(self) -> None:
        """End waiting takes early."""
        with self._lock:
            for some in (self._any, self._any_urgent, self._any_alarm):
                some.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._closed = True
            for some in (self._any, self._any_urgent, self._any_alarm):
                some.notify_all()
