"""Wires link, ingest, store, alarms and socket together; one asyncio loop, one ingest thread, the link's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec
from sqlalchemy import Engine, select

from cloud.alarms.book import AlarmBook
from cloud.alarms.silence import DeviceHeard, GatewayHeard, Pulse, SilenceRules, conditions
from cloud.audit.book import AuditBook
from cloud.config import CloudConfig
from cloud.db import fold_log, open_engine, read, upgrade
from cloud.gateway_configs.book import ConfigBook
from cloud.ingest.alarm_lane import AlarmLane
from cloud.ingest.attempts import Told
from cloud.ingest.event_rows import EVENT, GAP
from cloud.ingest.last import Key, Last, LastValues, unit_of
from cloud.ingest.letters import DeadLetters
from cloud.ingest.options import ingest_options
from cloud.ingest.presence import DeviceState, Presence
from cloud.ingest.told import decode_logged, decode_told
from cloud.ingest.worker import Ingest
from cloud.link import Handover, LinkOptions, MqttLink
from cloud.models.book import ModelBook
from cloud.orders.book import OrderBook
from cloud.registry.tables import devices as registry_devices
from cloud.rpc import Feed, SpineServer
from cloud.spine.doors import Door
from cloud.spine.letter_operations import LetterOperations
from cloud.spine.open_door import open_door
from cloud.spine.operations import Operations, device_row, gateway_row
from cloud.spine.permit_desk import permit_desk
from cloud.spine.worker_thread import WorkerThreads
from cloud.vision.book import VisionBook
from cloud.vision.pictures import VisionRules
from cloud.vision.receiver import PartReceiver
from cloud.vision.shelf import Shelf
from tocsin.contract import remote, topics
from tocsin.contract.messages import Command
from tocsin.errors import StoreError, StoreUnavailableError, WireError
from tocsin.sdk import Clock

WATCH_S = 1.0
FOLD_LOG_S = 10.0
MAX_TELLING = 200  # messages of ingesters beside us; beyond, screens miss a value until its next
COMMIT_S = 6.0  # for the last commit before the end
_log = logging.getLogger("cloud.spine")
_FIXED = frozenset({"time", "site", "device", "gateway", "stream", "seq", "source_time", "nth_"})


class Spine:
    """Everything behind the broker. `run` until `stop` is set."""

    def __init__(self, config: CloudConfig, clock: Clock, *, link: LinkOptions) -> None:
        self._config, self._clock = config, clock
        config.cloud.data_dir.mkdir(parents=True, exist_ok=True)
        self._engine: Engine = open_engine(config.state_place)
        upgrade(self._engine)
        self._door: Door = open_door(config, self._engine, clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since_mono: int | None = None
        self._pulse = Pulse(WATCH_S)
        self._periods: dict[tuple[str, str], tuple[float | None, bool]] = {}
        self._shown: dict[str, object] = {}
        self._telling: asyncio.Queue[list[Last]] = asyncio.Queue(MAX_TELLING)
        self.feed = Feed()
        sites = {g.id: g.site for g in config.gateways}
        keys = {g.id: g.command_key.reveal().encode() for g in config.gateways if g.command_key}
        self.handover = Handover(config.ingest.queue_bytes)
        self.link = MqttLink(
            link,
            self.handover,
            clock,
            logging.getLogger("cloud.link"),
            self._up,
            on_told=self._told,
        )
        self._last = LastValues()
        self._letters = DeadLetters(self._engine, config.ingest.dead_letter_bytes)
        self._presence = Presence(self._engine, sites, clock.mono_ns())
        self._sites = sites
        self.alarms = AlarmBook(
            self._engine,
            clock,
            keys=keys,
            command_expires_s=config.alarms.command_expires_s,
            changed=self._alarm_moved,
            send=self._send,
        )
        self.orders = OrderBook(
            self._engine,
            clock,
            keys=keys,
            changed=lambda order: self._publish("command", order),
            send=self._send,
        )
        self.configs = ConfigBook(self._engine, clock, sites=sites, keys=keys, send=self._send)
        self.models = ModelBook(
            self._engine, clock, sites=sites, keys=keys, publish=self.link.publish
        )
        self.audit = AuditBook(
            self._engine,
            clock,
            sites=sites,
            ledger=lambda gateway: self.ingest.settled_of(gateway),
            letters=self._letters.of_numbers,
        )
        self._permits = permit_desk(
            config,
            self._engine,
            clock,
            door=self._door,
            last=self._last,
            presence=self._presence,
            keys=keys,
            changed=lambda permit: self._publish("permit", permit),
            send=self.link.publish,
            watch=self.alarms.watch,
        )
        self.permits = self._permits.book
        self.vision = VisionBook(
            self._engine,
            clock,
            Shelf(config.cloud.data_dir / "evidence"),
            VisionRules(config.vision.fetch, config.vision.keep_days, config.vision.max_bytes),
            keys=keys,
            changed=lambda detection: self._publish("detection", detection),
            viewed=lambda view: self._publish("view", view),
            send=self.link.publish,
        )
        self._parts = PartReceiver(self.vision.on_part)
        self.ingest = Ingest(
            ingest_options(config),
            store=self._door.store,
            sites=sites,
            handover=self.handover,
            wire=self.link,
            letters=self._letters,
            last=self._last,
            presence=self._presence,
            answers=(
                self.alarms,
                self.orders,
                self.configs,
                self.models,
                self.audit,
                self.permits,
                self._permits.orders,
                self.vision,
            ),
            numbers=self.audit,
            clock=clock,
            log=logging.getLogger("cloud.ingest"),
            on_stored=self._stored,
            on_speaking=self._resend,
            on_part=self._parts.put,
            on_health=self.vision.on_health,
        )
        self._lane = AlarmLane(sites, self.handover, self.alarms, logging.getLogger("cloud.alarms"))
        self._operations = Operations(
            door=self._door,
            limits=config.query,
            last=self._last,
            presence=self._presence,
            alarms=self.alarms,
            orders=self.orders,
            configs=self.configs,
            models=self.models,
            audit=self.audit,
            permits=self._permits,
            vision=self.vision,
            letters=LetterOperations(self._letters, self._reopen, clock.now_ns),
            counters=self.counters,
            registry_changed=self._read_registry,
            state_file=config.state_file,
        )
        self._server = SpineServer(
            config.socket_path,
            self._operations.handlers,
            {"subscribe": self.feed.subscribe, **self._operations.streams},
            logging.getLogger("cloud.rpc"),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then everything in hand is stored and acknowledged.

        Raises:
            SpineError: a working thread failed; the process must end and start anew.
        """
        self._loop = asyncio.get_running_loop()
        self._remember_last()
        self._read_registry()
        threads = WorkerThreads(stop)
        await self._server.start()
        threads.start("ingest", self.ingest.run)
        threads.start("alarms", self._lane.run)
        threads.start("pictures", self._parts.run)
        self.link.start()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch(), name="watch-silence")
                permits = group.create_task(self._watch_permits(), name="watch-permits")
                pulse = group.create_task(self._beat(), name="pulse")
                log = group.create_task(self._fold_log(), name="fold-log")
                hear = group.create_task(self._hear_ingesters(), name="hear-ingesters")
                await stop.wait()
                watch.cancel()
                permits.cancel()
                pulse.cancel()
                log.cancel()
                hear.cancel()
        finally:
            self._lane.stop()
            self._parts.stop()
            self.ingest.stop()
            await self._server.aclose()
            ended = await threads.join(COMMIT_S)
            await asyncio.to_thread(self.link.close)
            with contextlib.suppress(StoreUnavailableError):  # the next start learns it anew
                await asyncio.to_thread(self.audit.write)
            if ended:
                await asyncio.to_thread(self._door.close)  # stops queries that still run
            await asyncio.to_thread(self._operations.close)
            self._engine.dispose()
        threads.check()

    def counters(self) -> dict[str, object]:
        """Everything that is counted."""
        return {
            **dict(self.ingest.counts),
            **dict(self._lane.counts),
            **{f"vision_{n}": v for n, v in (self.vision.counts + self._parts.counts).items()},
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

    def _up(self) -> None:
        self.ingest.connected()

    def _told(self, topic: str, payload: bytes) -> None:
        """An ingester beside us stored values, or a forwarder put messages into the log."""
        try:
            if topic.endswith(f"/{topics.LOGGED}"):
                self.audit.on_logged(decode_logged(payload))
                return
            rows = decode_told(payload)
        except WireError:
            self.ingest.counts["told_unreadable"] += 1
            return
        self._on_loop(lambda: self._take_told(rows))

    def _take_told(self, rows: list[Last]) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._telling.put_nowait(rows)

    async def _hear_ingesters(self) -> None:
        while True:
            rows = await self._telling.get()
            await asyncio.to_thread(self._heard_of, rows)

    def _heard_of(self, rows: list[Last]) -> None:
        now_mono = self._clock.mono_ns()
        for row in rows:
            with contextlib.suppress(StoreUnavailableError):
                self._presence.on_told(row, now_mono)
        if changed := self._last.take(rows):
            self._stored(changed)

    def _send(self, command: Command) -> None:
        what = "config" if command.kind in remote.KINDS else "command"
        topic = topics.down(command.site, command.gateway, what)
        self.link.publish(topic, msgspec.json.encode(command))

    def _resend(self, gateway: str) -> None:
        self.alarms.resend(gateway)
        self.orders.resend(gateway)
        self.configs.resend(gateway)
        self.models.resend(gateway)
        self.permits.resend(gateway)
        self._permits.orders.resend(gateway)
        self.vision.resend(gateway)

    def _reopen(self, letter: Mapping[str, Any]) -> Future[Told] | None:
        begun = self.ingest.attempts.begin(letter)
        if begun is None:
            return None
        message, future = begun
        if not self.handover.put(message):
            self.ingest.attempts.forget(message.letter)
            return None
        return future

    def _alarm_moved(self, alarm: dict[str, object]) -> None:
        self._publish("alarm", alarm)
        self.vision.on_alarm(alarm)

    def _publish(self, kind: str, body: dict[str, object]) -> None:
        self._on_loop(lambda: self.feed.publish(kind, body))

    def _stored(self, keys: set[Key]) -> None:
        if not self.feed.wanted:
            return
        moved = {"/".join(key): self._last.of(key) for key in keys}
        self._on_loop(lambda: self.feed.publish_last(moved))

    def _on_loop(self, work: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)

    async def _beat(self) -> None:
        """Whatever a look takes, the time is noted every second: a slow database is not a sleep."""
        while True:
            self._awake_at()
            await asyncio.sleep(WATCH_S)

    async def _fold_log(self) -> None:
        while True:
            await asyncio.sleep(FOLD_LOG_S)
            await asyncio.to_thread(fold_log, self._engine)

    def _awake_at(self) -> int:
        now_mono = self._clock.mono_ns()
        if away_s := self._pulse.beat(now_mono, self._clock.now_ns()):
            _log.warning("this process stood still for %.0f s; silence counts from now", away_s)
        return now_mono

    async def _watch(self) -> None:
        said = False
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await asyncio.to_thread(self._look, self._awake_at(), self._pulse.woke_mono)
            except StoreUnavailableError as exc:
                if not said:
                    _log.warning("the watch for silence waits: %s", exc.message)
                said = True
            else:
                said = False

    async def _watch_permits(self) -> None:
        """Apart from the watch for silence: neither waits for the other."""
        said = False
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await asyncio.to_thread(self._permits.look)
            except StoreError as exc:
                if not said:
                    _log.warning("the watch of permits waits: %s", exc.message)
                said = True
            else:
                said = False

    def _look(self, now_mono: int, woke_mono: int | None) -> None:
        if not self.link.connected:
            self._since_mono = None
        elif self._since_mono is None:
            self._since_mono = now_mono
        gateways = self._presence.gateways()
        devices = self._presence.devices()
        rules = self._config.alarms
        self.alarms.watch(
            conditions(
                [
                    GatewayHeard(g.site, name, g.online, g.heard_mono)
                    for name, g in gateways.items()
                ],
                [self._heard(d) for d in devices if d.gateway in gateways],
                now_mono=now_mono,
                listening_since_mono=self._since_mono,
                woke_mono=woke_mono,
                rules=SilenceRules(
                    rules.silent_periods, rules.silent_min_s, rules.gateway_silent_s
                ),
            )
        )
        self.alarms.expire()
        self.orders.expire()
        self.configs.expire()
        self.models.expire()
        self.audit.keep()
        self.vision.expire()
        self.vision.keep()
        for name, gateway in gateways.items():
            self._show("gateway", name, gateway_row(name, gateway), ("online", "t"))
        for device in devices:
            key = f"{device.gateway}/{device.device}"
            self._show("device", key, device_row(device), ("state", "announced", "measurement"))

    def _heard(self, d: DeviceState) -> DeviceHeard:
        period_s, retired = self._periods.get((d.site, d.device), (None, False))
        finished = d.health is not None and d.health.state == "finished"
        return DeviceHeard(
            d.site,
            d.gateway,
            d.device,
            d.measurement,
            period_s or d.period_s,
            d.alive_mono,
            finished,
            retired,
        )

    def _show(self, kind: str, key: str, row: dict[str, object], watched: tuple[str, ...]) -> None:
        """Tell subscribers when one of the `watched` fields moved."""
        mark = [row.get(name) for name in watched]
        if self._shown.get(f"{kind} {key}") != mark:
            self._shown[f"{kind} {key}"] = mark
            self._publish(kind, row)

    def _read_registry(self) -> None:
        c = registry_devices.c
        with read(self._engine) as connection:
            rows = connection.execute(select(c.site, c.device, c.period_s, c.retired))
            self._periods = {(r[0], r[1]): (r[2], bool(r[3])) for r in rows}

    def _remember_last(self) -> None:
        for row in self._door.newest():
            key = (
                str(row.get("site") or ""),
                str(row.get("device") or ""),
                str(row["measurement"]),
            )
            if key[2] in (EVENT, GAP):  # told once, never a state
                continue
            stamp = row["time"]
            for name, value in row.items():
                if name in _FIXED or name == "measurement" or name.endswith(("_q", "_raw")):
                    continue
                quality = row.get(f"{name}_q")
                if isinstance(stamp, int) and (value is not None or quality):
                    q = quality if isinstance(quality, int) else 0
                    gateway, unit = str(row.get("gateway") or ""), unit_of(key[2], name)
                    self._last.put(
                        Last(key[0], gateway, key[1], key[2], name, unit, value, q, stamp, stamp)
                    )
