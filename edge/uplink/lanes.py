"""What to send next: alarms, then events, then live telemetry, then the backlog at its pace."""

from __future__ import annotations

from collections import deque

from edge.outbox import Chunk, Outbox
from tocsin.contract import topics
from tocsin.sdk import Clock

_FETCH = 8
_BURST_S = 0.25


class Lane:
    """Chunks of one class in one interval of ids, read a few at a time."""

    def __init__(self, outbox: Outbox, cls: str, name: str, after: int, upto: int | None) -> None:
        self._outbox, self.cls, self.name = outbox, cls, name
        self.after, self.upto = after, upto
        self._ready: deque[Chunk] = deque()

    async def peek(self) -> Chunk | None:
        """The next chunk to send, or None for now."""
        while True:
            while self._ready and self._outbox.is_settled(self._ready[0]):
                self._ready.popleft()
            if self._ready:
                return self._ready[0]
            newest = self._outbox.newest_id(self.cls)
            end = newest if self.upto is None else min(newest, self.upto)
            if self.after >= end:
                return None
            found = await self._outbox.pending(self.cls, after=self.after, upto=end, limit=_FETCH)
            if not found:
                self.after = end
                return None
            self.after = found[-1].id
            self._ready.extend(found)

    def pop(self) -> None:
        """The peeked chunk was sent."""
        self._ready.popleft()

    def rest(self) -> int:
        """An id below that of the first chunk not yet sent."""
        return self._ready[0].id - 1 if self._ready else self.after


class Lanes:
    """The lanes of one session, in order of urgency."""

    def __init__(self, outbox: Outbox, urgent: list[Lane], live: Lane, backlog: Lane) -> None:
        self._outbox = outbox
        self.urgent, self.live = urgent, live
        self._backlogs = deque([backlog])

    @classmethod
    async def start(cls, outbox: Outbox) -> Lanes:
        """What is in the outbox now is backlog; what comes from now on is live. Alarms and events are always urgent."""
        boundary = await outbox.last_id()
        urgent = [
            Lane(outbox, name, "urgent", await outbox.first_pending(name), None)
            for name in (topics.ALARM, topics.EVENT)
        ]
        live = Lane(outbox, topics.TELEMETRY, "live", boundary, None)
        first = await outbox.first_pending(topics.TELEMETRY)
        return cls(outbox, urgent, live, Lane(outbox, topics.TELEMETRY, "hist", first, boundary))

    async def backlog(self) -> tuple[Lane, Chunk] | None:
        """The oldest backlog lane with something in it, and its next chunk."""
        while self._backlogs:
            chunk = await self._backlogs[0].peek()
            if chunk is not None:
                return self._backlogs[0], chunk
            self._backlogs.popleft()
        return None

    async def jump(self) -> None:
        """After a stall: what piled up becomes backlog, live goes on with the newest."""
        boundary = await self._outbox.last_id()
        if boundary > self.live.rest():
            self._backlogs.append(
                Lane(self._outbox, topics.TELEMETRY, "hist", self.live.rest(), boundary)
            )
            self.live = Lane(self._outbox, topics.TELEMETRY, "live", boundary, None)


class Pace:
    """A token bucket in bytes; may go into debt for one chunk larger than its burst."""

    def __init__(self, bytes_per_s: int, clock: Clock) -> None:
        self._rate, self._clock = bytes_per_s, clock
        self._burst = max(bytes_per_s * _BURST_S, 1.0)
        self._tokens, self._at_ns = self._burst, clock.mono_ns()

    def wait_s(self) -> float:
        """Seconds until the next chunk may go; 0 for now."""
        now = self._clock.mono_ns()
        self._tokens = min(self._burst, self._tokens + (now - self._at_ns) * self._rate / 1e9)
        self._at_ns = now
        return 0.0 if self._tokens > 0 else -self._tokens / self._rate + 0.001

    def spend(self, size: int) -> None:
        """A chunk of `size` bytes went."""
        self._tokens -= size
