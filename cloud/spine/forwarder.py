"""`tocsin cloud forward`: telemetry from the broker into the log; PUBACK once the log holds it.

Gateways take no notice: they wait for the commit-ack of an ingester that has stored what the log hands it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter

from cloud.config import CloudConfig
from cloud.ingest.told import Logged, encode_logged
from cloud.link import Handover, LinkOptions, MqttLink, Received
from cloud.log import LogOptions
from cloud.log.sink import JetStreamSink
from cloud.rpc import SpineServer
from tocsin.contract import topics
from tocsin.contract.codec import decode_header
from tocsin.contract.ranges import RangeSet
from tocsin.errors import BrokerError, LogUnavailableError, WireError
from tocsin.sdk import Clock

AT_ONCE = 256  # publications under way
TAKE_S = 0.5
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
TELL_S = 1.0  # between two words to the cloud of what the log holds
LAST_S = 5.0  # for what is under way at the end


class Forwarder:
    """`run` until `stop` is set. What the log does not hold by then stays with the broker."""

    def __init__(
        self, config: CloudConfig, clock: Clock, *, link: LinkOptions, log: LogOptions
    ) -> None:
        self.handover = Handover(config.ingest.queue_bytes)
        self._sink = JetStreamSink(log, logging.getLogger("cloud.log"))
        self._name = config.cloud.name
        self._logged: dict[tuple[str, str], RangeSet] = {}  # since the last word to the cloud
        self.counts: Counter[str] = Counter()
        self.ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._refused: BrokerError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.link = MqttLink(
            link,
            self.handover,
            clock,
            logging.getLogger("cloud.link"),
            self._up,
            on_refused=self._give_up,
        )
        self._server = SpineServer(
            config.socket_path, {"counters": self._counters}, {}, logging.getLogger("cloud.rpc")
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`.

        Raises:
            BrokerError: the broker gives no shared subscription.
            MissingExtraError: `nats-py` is not installed.
        """
        self._loop, self._stop = asyncio.get_running_loop(), stop
        await self._server.start()
        try:
            with contextlib.suppress(LogUnavailableError):  # it was said; each message tries again
                await self._sink.connection.ready()
            self.link.start()
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._forward(), name="forward")
                tell = group.create_task(self._tell(), name="tell-the-cloud")
                watch = group.create_task(self._sink.connection.watch(), name="log-watch")
                await stop.wait()
                watch.cancel()
                tell.cancel()
                self.handover.close()
                await asyncio.wait([work], timeout=LAST_S)
                work.cancel()
        finally:
            await self._server.aclose()
            await asyncio.to_thread(self.link.close)
            await self._sink.aclose()
        if self._refused is not None:
            raise self._refused

    def counters(self) -> dict[str, object]:
        """Everything that is counted."""
        return {
            **dict(self.counts),
            "broker_connected": self.link.connected,
            "broker_connects": self.link.connects,
            "broker_protocol": self.link.protocol,
            "log_error": self._sink.connection.unavailable,
            "log_repeats": self._sink.repeats,
            "waiting_bytes": self.handover.waiting_bytes,
            "overflows": self.handover.overflows,
        }

    async def _counters(self) -> object:
        return self.counters()

    async def _forward(self) -> None:
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                for message in await asyncio.to_thread(self.handover.take, TAKE_S):
                    await free.acquire()
                    task = group.create_task(self._one(message))
                    task.add_done_callback(lambda _: free.release())

    async def _one(self, message: Received) -> None:
        """Until the log holds it, or the end."""
        tries = 0
        while not self._stop.is_set() or not tries:
            try:
                await self._sink.keep(message)
            except LogUnavailableError:
                self.counts["log_refused"] += 1
                await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
                tries += 1
                continue
            self.counts["logged"] += 1
            self._note(message)
            self.link.ack(message)
            break
        self.handover.release(message.cost)

    def _note(self, message: Received) -> None:
        with contextlib.suppress(WireError):  # it has no numbers, or none that can be read
            header = decode_header(message.payload)
            key = topics.gateway_of(message.topic), header.stream
            numbers = self._logged.setdefault(key, RangeSet())
            numbers.add(header.first_seq, header.first_seq + header.rows)

    async def _tell(self) -> None:
        """The cloud's audit tells what is logged from what is stored."""
        topic = topics.told_by(self._name, topics.LOGGED)
        while True:
            await asyncio.sleep(TELL_S)
            logged, self._logged = self._logged, {}
            told = [Logged(*key, lo, hi) for key, ranges in logged.items() for lo, hi in ranges]
            for payload in encode_logged(told):
                self.link.publish(topic, payload)

    def _up(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.ready.set)

    def _give_up(self, error: BrokerError) -> None:
        self._refused = error
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
