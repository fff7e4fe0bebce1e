"""The gateway's composition root: the only module that wires drivers, pipeline, outbox, uplink and control together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import tocsin
from edge.alarm_desk import AlarmDesk
from edge.alarm_file import AlarmFile
from edge.config import GatewayConfig, InputConfig
from edge.control.server import ControlServer
from edge.crew import Crew, ended
from edge.devices import Devices
from edge.events import EventQueue
from edge.evidence import EvidenceDesk, EvidenceRing
from edge.figures import SelfReader, metrics, own_device
from edge.flow import Flow
from edge.frames import FrameLog
from edge.garbage import leave_out_what_stands
from edge.keeping import alarm_file, disk_returns, open_outbox
from edge.kept_before import CHUNKS, KeptBefore
from edge.link import delivered, open_link
from edge.locks.desk import LockDesk
from edge.locks.order_book import OrderBook
from edge.notify import Notifier
from edge.operations import Operations
from edge.orders.desk import OrderDesk
from edge.outbox import Outbox
from edge.outlets.outlets import Outlets
from edge.outputs import FileButton, FileOutput
from edge.permits.desk import PermitDesk
from edge.permits.opening import open_permits
from edge.pipeline import Pipeline, VehicleRule
from edge.prometheus import MetricsDoor
from edge.reload import Reloader
from edge.remote import RemoteDesk, Sources
from edge.rollout import ModelDesk
from edge.summary import Summary, summary_of
from edge.supervisor import Supervised
from edge.survey import survey
from edge.timekeeper import Timekeeper, power_on
from edge.watchdog import Mark, Watchdog
from tocsin.config import Loaded
from tocsin.contract import topics
from tocsin.contract.ids import ulid
from tocsin.errors import ConfigError, ControlError, TocsinError
from tocsin.sdk import (
    Clock,
    DeviceSpec,
    Driver,
    DriverConfig,
    DriverContext,
    SystemClock,
    load_driver,
)

if TYPE_CHECKING:
    from edge.uplink import Uplink

_log = logging.getLogger("edge")

DRIVERS_STOP_S = 1.5
ORDERS_SETTLE_S = 0.3
DRAIN_S = 1.0
UPLINK_GRACE_S = 1.5
LINK_STOP_S = 5.0
LONGEST_STOP_S = 4.8


class Agent:
    """One gateway process. Build it with `Agent.open`, then `run` until it is told to stop."""

    def __init__(
        self,
        loaded: Loaded[GatewayConfig],
        outbox: Outbox,
        clock: Clock,
        timekeeper: Timekeeper,
        sources: Sources,
    ) -> None:
        self.sources = sources
        self.config, self.outbox, self.clock = loaded.value, outbox, clock
        self.crew: Crew
        self.timekeeper = timekeeper
        self.boot = ulid(clock.now_ns())
        self._began_ns = clock.mono_ns()
        self.loaded, self.found = loaded, (found := survey(loaded))
        vehicle = VehicleRule(max_speed_m_s=self.config.pipeline.max_vehicle_speed_m_s)
        epoch, last_wall_ns = outbox.last_clock
        self.pipeline = Pipeline(
            found.devices,
            found.checks,
            found.alarms,
            vehicle=vehicle,
            earliest_ns=timekeeper.earliest_ns,
            epoch=epoch,
            last_wall_ns=last_wall_ns,
        )
        self.counters: Counter[str] = Counter()
        self.events = EventQueue(outbox, clock)
        self.devices = Devices(self.pipeline, self.events.say)
        self.frames = FrameLog(clock)
        self.desk = AlarmDesk(
            self.pipeline.board,
            AlarmFile(alarm_file(outbox)),
            outbox,
            [FileOutput(o) for o in self.config.outputs],
            clock,
            copy_at_once=outbox.stands_in_for is not None,
        )
        self.flow = Flow(
            self.pipeline,
            outbox,
            self.desk,
            self.devices,
            clock,
            self.events.say,
            timekeeper,
            queue_samples=self.config.pipeline.queue_samples,
        )
        self.orders_to_locks = OrderBook(
            self.config.gateway.data_dir / "lock-orders",
            self.config.gateway.id,
            clock,
            key=lambda: self.command_key,
            names=self._lock_names,
            put_event=outbox.put_event,
            say=self.events.say,
        )
        self.orders_to_locks.restore()
        self.orders_to_locks.connected = lambda: self.link is not None and self.link.connected
        self.locks = LockDesk(
            lambda: self.orders,
            self._carrier,
            self._lock_names,
            lambda: self.timekeeper.state,
            self.orders_to_locks,
        )
        self.evidence = EvidenceDesk(
            EvidenceRing(self.config.gateway.data_dir / "evidence", self.config.evidence.max_bytes),
            site=self.config.gateway.site,
            gateway=self.config.gateway.id,
            clock=clock,
            key=lambda: self.command_key,
            say=self.events.say,
            bytes_per_s=self.config.evidence.bytes_per_s,
        )
        self.models = ModelDesk(
            self.config.gateway.data_dir / "models",
            site=self.config.gateway.site,
            gateway=self.config.gateway.id,
            clock=clock,
            key=lambda: self.command_key,
            wanted=lambda: self.config.commands.remote_models,
            say=self.events.say,
        )
        self.drivers = [self.supervised(d) for d in self.config.drivers]
        self.take_devices()
        self.orders = OrderDesk(
            outbox, clock, self.driver_of, lambda: [d.id for d in self.found.devices], found.guards
        )
        self.permits: PermitDesk | None = None
        self.remote = RemoteDesk(self, sources)
        self.outlets = Outlets(self)
        self.link: Uplink | None = None
        self._linking: asyncio.Task[None] | None = None
        self.reloader = Reloader(self)
        self._stopping = asyncio.Event()
        self._forcing: asyncio.TimerHandle | None = None
        self._notifier = Notifier()
        self.abandoned = 0
        self.moves = False  # the run ends only to go on with the outbox on its disk

    @classmethod
    async def open(
        cls,
        loaded: Loaded[GatewayConfig],
        clock: Clock | None = None,
        timekeeper: Timekeeper | None = None,
        sources: Sources | None = None,
    ) -> Agent:
        """Open the outbox and take up the alarms of the last run.

        Raises:
            ConfigError: a mistake between the sections.
            OutboxError: the outbox cannot be opened, or another agent has it.
        """
        config, clock = loaded.value, clock or SystemClock()
        timekeeper = timekeeper or Timekeeper(power_on=power_on())
        outbox = await open_outbox(config, clock, timekeeper.power_on)
        try:
            sources = sources or Sources(loaded.path, config.gateway.data_dir)
            agent = cls(loaded, outbox, clock, timekeeper, sources)
            await agent.flow.tick()
            agent.flow.remember(KeptBefore(await outbox.newest(topics.TELEMETRY, CHUNKS)))
            await agent.desk.restore()
            await agent.orders.restore(await outbox.orders())
            agent.permits = await open_permits(agent)
            agent.link = open_link(agent)
        except BaseException:
            await outbox.aclose()
            raise
        return agent

    def stop(self) -> None:
        """Begin to stop; a second call ends the process at once."""
        if self._stopping.is_set() and self.moves:
            self.moves = False
        elif self._stopping.is_set():
            _log.warning("told to stop twice: not waiting for anything")
            os._exit(130)
        self._stopping.set()
        self._forcing = asyncio.get_running_loop().call_later(LONGEST_STOP_S, _force)

    def _move(self) -> None:
        """The disk is back: what was kept in memory goes there, with a new agent in this process."""
        if not self._stopping.is_set():
            self.moves = True
            self.stop()

    async def run(self) -> Summary:
        """Acquire, judge, keep and send until `stop`, then hand everything over and close.

        Raises:
            DriverError: a driver that must work at start does not.
            ControlError: the control socket cannot be made.
        """
        loop = asyncio.get_running_loop()
        hear = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop, signal.SIGHUP: self._hup}
        for number, handler in hear.items():
            loop.add_signal_handler(number, handler)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._run(tasks)
        finally:
            for number in hear:
                loop.remove_signal_handler(number)
            await self.outbox.aclose()
            if self.permits is not None:
                await self.permits.aclose()
            self.abandoned = self.flow.abandon()
            if self._forcing is not None:
                self._forcing.cancel()
        return summary_of(self)

    async def _run(self, tasks: asyncio.TaskGroup) -> None:
        config = self.config
        serving = [
            tasks.create_task(self.flow.run(), name="flow"),
            tasks.create_task(self.flow.watch(), name="flow-watch"),
            tasks.create_task(self.events.run(), name="events"),
            tasks.create_task(self.desk.run(), name="alarm-desk"),
            tasks.create_task(self.orders.run(), name="orders"),
        ]
        listening = asyncio.Event()
        control = ControlServer(config.socket, *Operations(self).table())
        serving.append(tasks.create_task(self._serve(control, listening), name="control"))
        await listening.wait()
        self._started()
        self._begin_link()
        serving.append(tasks.create_task(self.remote.run(), name="remote"))
        serving.append(tasks.create_task(self.models.run(), name="models"))
        self.crew = Crew(tasks)
        for driver in self.drivers:
            self.crew.start(f"driver:{driver.name}", driver.run)
        if self.permits is not None:
            serving.append(tasks.create_task(self.permits.run(), name="permits"))
        for button in config.inputs.acknowledge:
            self.start_button(button)
        self.start_metrics()
        self.outlets.begin()
        watchdog = Watchdog(
            self._notifier,
            self.clock,
            self._mark,
            commit_interval_s=config.outbox.commit_interval_ms / 1000,
        )
        serving.append(tasks.create_task(watchdog.run(), name="watchdog"))
        disk = disk_returns(self.outbox, self.clock, self._move)
        serving.append(tasks.create_task(disk, name="disk"))
        self._ready()
        await self._stopping.wait()
        if not self.moves:
            self._notifier.send("STOPPING=1")
        await self._wind_down()
        for task in serving:
            task.cancel()
        if self._linking is not None:
            self._linking.cancel()

    async def _serve(self, control: ControlServer, listening: asyncio.Event) -> None:
        """The control socket; on a disk that refuses the agent goes without it."""
        try:
            await control.run(listening.set)
        except ControlError as exc:
            if self.outbox.stands_in_for is None:
                raise
            _log.error("nobody can ask this agent: %s", exc.message)
            listening.set()

    async def _wind_down(self) -> None:
        """Drivers first, then what they left on its way to the cloud; each step with its own patience."""
        await self.crew.wind_down(DRIVERS_STOP_S)
        with suppress(TimeoutError):  # one that waits on is told `unknown` at the next start
            async with asyncio.timeout(ORDERS_SETTLE_S):
                await self.orders.settled()
        self.events.say("agent.stopped", "", "stopped", {"boot": self.boot})
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.flow.drained()
                await self.events.drained()
                await self.outbox.put_rows_durable([])
        with suppress(TimeoutError):
            async with asyncio.timeout(UPLINK_GRACE_S):
                await delivered(self)

    def _mark(self) -> Mark:
        stats = self.outbox.stats()
        return Mark(
            self.flow.waiting,
            self.flow.processed,
            stats.buffered_rows,
            stats.commits + stats.commit_failures,
        )

    def _ready(self) -> None:
        leave_out_what_stands()
        self._notifier.send("READY=1", f"STATUS=reading {len(self.devices.specs())} devices")

    def _hup(self) -> None:
        """Take the file as it is now; mistakes are logged and told as an event."""
        if not self._stopping.is_set():
            self._tasks.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        try:
            await self.reloader.again()
        except ConfigError:
            pass  # told
        except TocsinError as exc:
            _log.error("the reload failed: %s", exc.message)

    def reloading(self, *, ended: bool) -> None:
        """Tell systemd of a reload."""
        if not ended:
            self._notifier.reloading()
            return
        self._ready()
        if not self._stopping.is_set():
            self._tasks.create_task(self._let_go(), name="let-go")

    async def _let_go(self) -> None:
        """Of what the drivers before a reload held: it is garbage only when they have ended, and stands outside the search for it."""
        if await self.crew.settled():
            leave_out_what_stands()

    def _begin_link(self) -> None:
        if self.link is not None:
            self._linking = self._tasks.create_task(self.link.run(), name="uplink")

    async def relink(self) -> None:
        """The session with the broker anew, as the configuration says now."""
        before, ending = self.link, self._linking
        if ending is not None:
            ending.cancel()
            await ended([ending], LINK_STOP_S)
        self.outbox.set_codec(self.config.uplink.codec if self.config.uplink else "jn")
        self.link, self._linking = open_link(self), None
        if before is not None and self.link is not None:
            self.link.counters.update(before.counters)
        self._begin_link()

    @property
    def command_key(self) -> bytes:
        """What signs commands from the cloud; empty without one."""
        key = self.config.commands.key
        return key.reveal().encode() if key else b""

    def start_button(self, config: InputConfig) -> None:
        """Watch a local input from now on."""
        button = FileButton(config)
        self.crew.replace(f"input:{config.name}", lambda: button.run(self.clock, self.desk.pressed))

    def start_metrics(self) -> None:
        """Read ourselves, and let Prometheus in, as `[metrics]` says now."""
        options, own = self.config.metrics, own_device(self.config)
        if own:
            self.crew.replace("metrics", SelfReader(self, own[0]).run)
        else:
            self.crew.end("metrics")
        if options is not None and options.listen:
            door = MetricsDoor(options.listen, partial(metrics, self))
            self.crew.replace("metrics-door", door.run)
        else:
            self.crew.end("metrics-door")

    def _started(self) -> None:
        self.events.say(
            "agent.started",
            "",
            f"tocsin {tocsin.__version__}",
            {"boot": self.boot, "version": tocsin.__version__, "pid": os.getpid()},
        )
        for part in self.loaded.left_out:
            for problem in part.problems:
                _log.error("left out: %s: %s", part.name, problem)
            text = f"{part.name} has mistakes and is left out"
            problems = [problem.as_dict() for problem in part.problems]
            self.events.say("config.left-out", "", text, {"name": part.name, "problems": problems})
        self.announce(self.devices.specs())

    def announce(self, specs: Sequence[DeviceSpec]) -> None:
        """Tell the cloud of devices that are new or not as they were."""
        for spec in specs:
            self.events.say(
                "device.announced", spec.id, spec.measurement, self.devices.announcement(spec)
            )

    def supervised(self, config: DriverConfig) -> Supervised:
        """A driver that is ready to be run."""
        return Supervised(config, self.builder(config), self.devices, self.clock, self.counters)

    def builder(self, config: DriverConfig) -> Callable[[], Driver]:
        """What makes a fresh instance of a driver."""
        kind = load_driver(config.type)
        context = DriverContext(
            name=config.name,
            clock=self.clock,
            log=logging.getLogger(f"edge.drivers.{config.name}"),
            emit=self.flow.put,
            keep=self.flow.keep,
            available=self.devices.recovered,
            unavailable=self.devices.unavailable,
            count=partial(_count, self.counters, config.name),
            frame=partial(self.frames.take, config.name),
            tell=self._tell,
            evidence=self.evidence.keep,
            view=self.evidence.view,
            send_evidence=self.evidence.offer,
            serve_model=partial(self.models.serve, config.name),
            model_failed=self.models.fell_back,
            folder=self._folder,
        )

        def build() -> Driver:
            self.models.leave(config.name)
            return self.locks.adopt(kind(config, context))

        return build

    def _folder(self, device: str) -> Path:
        return self.config.gateway.data_dir / "devices" / quote(device, safe="")

    def _carrier(self, lock: str) -> Supervised | None:
        found = self.driver_of(lock)
        return found[0] if found else None

    def _lock_names(self) -> tuple[str, ...]:
        return tuple(spec.id for spec in self.devices.specs() if spec.measurement == "lock")

    async def _tell(self, kind: str, device: str, text: str, data: dict[str, object]) -> None:
        await self.outbox.put_event(kind, device, text, data)

    def take_devices(self) -> list[DeviceSpec]:
        """The devices of the drivers as they are now; which are no longer among them."""
        by_driver = self.found.by_driver
        for name, specs in by_driver.items():
            self.devices.add(name, specs)
        for driver in self.drivers:
            ids = [spec.id for spec in by_driver[driver.name]]
            self.frames.add(driver.name, driver.type, ids)
        known = {spec.id for spec in self.found.devices}
        self.frames.keep_only(by_driver.keys(), known)
        return self.devices.keep_only(known)

    def driver_of(self, device: str) -> tuple[Supervised, DeviceSpec] | None:
        """The driver that owns a device."""
        spec = next((s for s in self.devices.specs() if s.id == device), None)
        found = next((d for d in self.drivers if device in d.devices), None)
        return (found, spec) if found is not None and spec is not None else None

    def uptime_s(self) -> float:
        """Seconds since the agent was built."""
        return (self.clock.mono_ns() - self._began_ns) / 1e9


def _count(counters: Counter[str], driver: str, name: str, n: int) -> None:
    counters[f"{driver}.{name}"] += n


def _force() -> None:
    """Something does not end; all that was acquired is committed by now."""
    late = [t.get_name() for t in asyncio.all_tasks() if not t.get_name().startswith("Task-")]
    _log.error("not waiting any longer for %s", ", ".join(sorted(late)))
    os._exit(1)


async def run_agent(sources: Sources, loaded: Loaded[GatewayConfig]) -> Summary:
    """A whole run: open, acquire until a signal, close. Once more when the outbox moves from memory to its disk."""
    while True:
        agent = await Agent.open(loaded, sources=sources)
        summary = await agent.run()
        if not agent.moves:
            return summary
        loaded = agent.loaded
