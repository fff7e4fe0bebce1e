"""Sending during one session: fills the window lane by lane and sends again what got no commit-ack."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiomqtt
import msgspec

from edge.options import UplinkOptions
from edge.outbox import Chunk, Outbox
from edge.uplink.cancel import raise_if_cancelled
from edge.uplink.lanes import Lane, Lanes, Pace
from edge.uplink.session import MAX_UNACKNOWLEDGED
from edge.uplink.window import Window
from tocsin.contract import topics
from tocsin.contract.messages import VERSION, Resume
from tocsin.sdk import Clock

RESUME_WAIT_S = 1.0
STALL_S = 5.0
_encode = msgspec.json.Encoder().encode


class Sender:
    """Owns the window and lanes of one session. `run` returns only by an error of the session."""

    def __init__(
        self,
        client: aiomqtt.Client,
        outbox: Outbox,
        options: UplinkOptions,
        site: str,
        gateway: str,
        clock: Clock,
        counters: Counter[str],
    ) -> None:
        self._client, self._outbox, self._clock, self._counters = client, outbox, clock, counters
        self._site, self._gateway = site, gateway
        self.window = Window(options.window_bytes, options.resend_after_s)
        self._pace = Pace(options.backlog_bytes_per_s, clock)
        self._puback_timeout_s = max(10.0, 1.5 * options.keepalive_s)
        self._slots = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        self._acked = asyncio.Event()
        self._full_since_s: float | None = None
        self._resumed_s = 0.0

    def acknowledged(self) -> None:
        """A commit-ack was taken in by the outbox."""
        self.window.settle(self._outbox.is_settled)
        self.window.hasten(self._outbox.is_overtaken, self._now_s())
        self._acked.set()
        self._outbox.changed.set()

    async def resume(self) -> None:
        """Ask the ingesters what they hold."""
        self._resumed_s = self._now_s()
        message = Resume(VERSION, self._site, self._gateway, self._outbox.stream_states())
        await self._client.publish(
            topics.up(self._site, self._gateway, topics.RESUME),
            _encode(message),
            qos=1,
            timeout=self._puback_timeout_s,
        )

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Send until the session fails. PUBACKs are awaited in `tasks`."""
        arranged, lanes = self._outbox.rearranged, await Lanes.start(self._outbox)
        await self.resume()
        backlog_from_s = self._now_s() + RESUME_WAIT_S  # the answer may spare us most of it
        while True:
            self._outbox.changed.clear()
            if arranged != self._outbox.rearranged:
                arranged, lanes = self._outbox.rearranged, await Lanes.start(self._outbox)
            await self._resend(tasks)
            for lane in lanes.urgent:
                await self._drain(lane, tasks)
            if await self._unstalled():
                await lanes.jump()
            await self._drain(lanes.live, tasks)
            wait_s = backlog_from_s - self._now_s()
            if wait_s <= 0 or self._acked.is_set():
                wait_s = await self._send_backlog(lanes, tasks)
            await self._sleep(wait_s)

    async def _drain(self, lane: Lane, tasks: asyncio.TaskGroup) -> None:
        """Send what the lane has and the window admits."""
        while (chunk := await lane.peek()) is not None:
            if chunk.id in self.window:  # sent before the lanes began anew
                lane.pop()
                continue
            if not self.window.admits(chunk, lane.name):
                if lane.name == "live" and self._full_since_s is None:
                    self._full_since_s = self._now_s()
                return
            lane.pop()
            await self._send(chunk, lane.name, tasks)

    async def _unstalled(self) -> bool:
        """Whether the window has room for live data again after `STALL_S` without."""
        if self._full_since_s is None or self.window.bytes >= self.window.capacity // 2:
            return False
        since_s, self._full_since_s = self._full_since_s, None
        return self._now_s() - since_s >= STALL_S

    async def _send_backlog(self, lanes: Lanes, tasks: asyncio.TaskGroup) -> float:
        """Send one chunk of backlog if pace and window allow; seconds until the next may go."""
        found = await lanes.backlog()
        if found is None:
            return 3600.0
        lane, chunk = found
        if chunk.id in self.window:
            lane.pop()
            return 0.0
        wait_s = self._pace.wait_s()
        if wait_s > 0:
            return wait_s
        if not self.window.admits(chunk, lane.name):
            return 3600.0  # an ack or a resend comes first
        lane.pop()
        self._pace.spend(len(chunk.payload))
        await self._send(chunk, lane.name, tasks)
        return self._pace.wait_s()

    async def _send(self, chunk: Chunk, lane: str, tasks: asyncio.TaskGroup) -> None:
        topic = topics.up(self._site, self._gateway, chunk.cls, hist=lane == "hist")
        self.window.sent(chunk, topic, lane, self._now_s())
        self._counters["sent"] += 1
        self._counters["sent_bytes"] += len(chunk.payload)
        await self._publish(topic, chunk.payload, tasks)

    async def _resend(self, tasks: asyncio.TaskGroup) -> None:
        late = self.window.due(self._now_s())
        if not late:
            return
        if self._now_s() - self._resumed_s >= RESUME_WAIT_S:
            await self.resume()  # our copy may be fine and only the ack lost
        for flight in late:
            if flight.chunk.id in self.window:
                self._counters["resent"] += 1
                await self._publish(flight.topic, flight.chunk.payload, tasks)

    async def _publish(self, topic: str, payload: bytes, tasks: asyncio.TaskGroup) -> None:
        await self._slots.acquire()
        tasks.create_task(self._puback(topic, payload), name="uplink-puback")

    async def _puback(self, topic: str, payload: bytes) -> None:
        try:
            await self._client.publish(topic, payload, qos=1, timeout=self._puback_timeout_s)
            self._counters["pubacks"] += 1
        finally:
            self._slots.release()

    async def _sleep(self, wait_s: float) -> None:
        raise_if_cancelled()
        due_s = self.window.next_due_s()
        if due_s is not None:
            wait_s = min(wait_s, due_s - self._now_s())
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._outbox.changed.wait()
        except TimeoutError:
            pass

    def _now_s(self) -> float:
        return self._clock.mono_ns() / 1e9
