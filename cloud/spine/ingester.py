"""`tocsin cloud ingest`: takes telemetry off the cloud's hands, from a share of the gateways into the same InfluxDB.

The telemetry comes from the broker, or from a log behind it; commit-acks go out by the broker in either case.
It keeps no account of gateways, devices, alarms and commands: the cloud hears of these itself. State database and
InfluxDB are shared, and with them the ledger, so that whoever takes a gateway over knows what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from sqlalchemy import Engine

from cloud.audit.book import AuditBook
from cloud.config import CloudConfig
from cloud.db import open_engine, upgrade
from cloud.ingest.elsewhere import Elsewhere, MarksOnly
from cloud.ingest.last import Key, LastValues
from cloud.ingest.letters import DeadLetters
from cloud.ingest.options import ingest_options
from cloud.ingest.suspects import Suspects
from cloud.ingest.told import encode_told
from cloud.ingest.worker import Ingest
from cloud.link import Handover, LinkOptions, MqttLink, Received
from cloud.log import LogOptions
from cloud.log.source import JetStreamSource
from cloud.log.subjects import lanes_of
from cloud.rpc import SpineServer
from cloud.spine.open_door import open_door
from cloud.spine.worker_thread import WorkerThreads
from tocsin.contract import topics
from tocsin.errors import BrokerError, StoreUnavailableError
from tocsin.sdk import Clock

TELL_S = 1.0  # between two looks at what changed
MARKS_S = 10.0  # between two writes of which numbers were when
COMMIT_S = 6.0  # for the last commit before the end


class Ingester:
    """`run` until `stop` is set."""

    def __init__(
        self, config: CloudConfig, clock: Clock, *, link: LinkOptions, log: LogOptions | None
    ) -> None:
        self._config = config
        self._engine: Engine = open_engine(config.state_place)
        upgrade(self._engine)
        self._door = open_door(config, self._engine, clock)
        self._changed: set[Key] = set()
        self._threads: WorkerThreads | None = None
        self._refused: BrokerError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self.ready = asyncio.Event()
        self._last = LastValues()
        self._letters = DeadLetters(self._engine, config.ingest.dead_letter_bytes)
        self.handover = Handover(config.ingest.queue_bytes)
        self.link = MqttLink(
            link,
            self.handover,
            clock,
            logging.getLogger("cloud.link"),
            self._up,
            on_refused=self._give_up,
        )
        self._source: JetStreamSource | None = None
        if log is not None:
            lanes = lanes_of(config.ingest.bucket_numbers, log.lanes)
            self._source = JetStreamSource(
                log, lanes, self.handover, logging.getLogger("cloud.log"), self._source_failed
            )
        sites = {g.id: g.site for g in config.gateways}
        self._audit = AuditBook(
            self._engine,
            clock,
            sites=sites,
            ledger=lambda gateway: self.ingest.settled_of(gateway),
            letters=self._letters.of_numbers,
        )
        self.ingest = Ingest(
            ingest_options(config),
            store=self._door.store,
            sites=sites,
            handover=self.handover,
            wire=self,
            letters=self._letters,
            last=self._last,
            presence=Elsewhere(),
            answers=(),
            numbers=MarksOnly(self._audit),
            clock=clock,
            log=logging.getLogger("cloud.ingest"),
            on_stored=self._stored,
            suspects=Suspects(config.cloud.data_dir / "suspects.json"),
        )
        self._server = SpineServer(
            config.socket_path, {"counters": self._counters}, {}, logging.getLogger("cloud.rpc")
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then everything in hand is stored and acknowledged.

        Raises:
            SpineError: the ingest thread failed; the process must end and start anew.
            BrokerError: the broker gives no shared subscription.
        """
        self._loop, self._stop = asyncio.get_running_loop(), stop
        self._threads = threads = WorkerThreads(stop)
        await self._server.start()
        threads.start("ingest", self.ingest.run)
        self.link.start()
        if self._source is not None:
            self._source.start()
        try:
            async with asyncio.TaskGroup() as group:
                tell = group.create_task(self._tell(), name="tell-the-cloud")
                marks = group.create_task(self._keep_marks(), name="keep-marks")
                await stop.wait()
                tell.cancel()
                marks.cancel()
        finally:
            self.ingest.stop()
            await self._server.aclose()
            ended = await threads.join(COMMIT_S)
            if self._source is not None:
                await self._source.aclose()
            await asyncio.to_thread(self.link.close)
            with contextlib.suppress(StoreUnavailableError):
                await asyncio.to_thread(self._audit.write)
            if ended:
                await asyncio.to_thread(self._door.close)
            self._engine.dispose()
        threads.check()
        if self._refused is not None:
            raise self._refused

    def ack(self, *messages: Received) -> None:
        """To whom they came from. From any thread."""
        if self._source is None:
            self.link.ack(*messages)
            return
        for message in messages:
            if message.log_seq:
                self._source.ack(message)
            else:
                self.link.ack(message)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> bool:
        """By the broker. From any thread."""
        return self.link.publish(topic, payload, qos)

    def counters(self) -> dict[str, object]:
        """Everything that is counted."""
        source = self._source
        of_log: dict[str, object] = {}
        if source is not None:
            of_log = {
                "log_error": source.connection.unavailable,
                "log_in_hand": source.in_hand,
                "log_redelivered": source.redelivered,
                "log_forgotten": source.forgotten,
            }
        return {
            **of_log,
            **dict(self.ingest.counts),
            "unknown_field_names": ", ".join(sorted(self.ingest.unknown.names)),
            "broker_connected": self.link.connected,
            "broker_connects": self.link.connects,
            "broker_dropped": self.link.broker_dropped,
            "early_acks": self.link.early_acks,
            "broker_protocol": self.link.protocol,
            "store_error": self.ingest.store_error,
            "waiting_bytes": self.handover.waiting_bytes,
            "overflows": self.handover.overflows,
            "dead_letters_dropped": self._letters.dropped,
        }

    async def _counters(self) -> object:
        return self.counters()

    def _source_failed(self, error: BaseException) -> None:
        if self._threads is not None:
            self._threads.failed(error)

    def _up(self) -> None:
        self.ingest.connected()
        self._on_loop(self.ready.set)

    def _give_up(self, error: BrokerError) -> None:
        self._refused = error
        self._on_loop(self._stop.set)

    def _stored(self, keys: set[Key]) -> None:
        self._on_loop(lambda: self._changed.update(keys))

    def _on_loop(self, work: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)

    async def _tell(self) -> None:
        topic = topics.told_by(self._config.cloud.name)
        while True:
            await asyncio.sleep(TELL_S)
            keys, self._changed = self._changed, set()
            for payload in encode_told([last for key in keys for last in self._last.of(key)]):
                self.link.publish(topic, payload, qos=0)

    async def _keep_marks(self) -> None:
        while True:
            await asyncio.sleep(MARKS_S)
            with contextlib.suppress(StoreUnavailableError):  # they are written with the next
                await asyncio.to_thread(self._audit.write)
