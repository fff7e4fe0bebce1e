"""The operations of the control socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import msgspec

import tocsin
from edge import vitals
from edge.alarm_desk import AlarmView
from edge.control.server import Args, Call, Stream
from edge.devices import LastValue
from edge.field.taken import taken
from edge.figures import metrics
from edge.frames import KEPT
from edge.orders.results import Result
from edge.permits.views import PermitView, view
from edge.prometheus import Metric
from edge.reload import Reloaded
from edge.remote.store import RemoteState
from edge.summary import counts_of
from tocsin.contract.columns import Row
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import ClockState, DeviceHealth
from tocsin.contract.orders import unpack
from tocsin.errors import ControlError
from tocsin.grants.primitives import KEY_BYTES
from tocsin.permits.outcomes import Refused
from tocsin.permits.sentences import sentence
from tocsin.sdk import CommandSpec, Sample

if TYPE_CHECKING:
    from edge.app import Agent

_TAIL_ROWS = 1000
_LONGEST_WITHIN_S = 3600.0


class DriverStatus(msgspec.Struct, frozen=True):
    """One driver: running, waiting (to try again), finished or failed."""

    name: str
    type: str
    state: str
    restarts: int


class LeftOutStatus(msgspec.Struct, frozen=True):
    """A section of the file that is wrong, with its mistakes as `tocsin check` tells them."""

    name: str
    line: int
    problems: list[str]


class GrantAnswer(msgspec.Struct, frozen=True):
    """The live grant of a holder for a lock, base64url; or `reason` and `text` say why there is none."""

    permit: str = ""
    grant: str = ""
    rescue: bool = False
    exp_ns: int = 0
    reason: str = ""
    text: str = ""


class OutputStatus(msgspec.Struct, frozen=True):
    """One local output."""

    name: str
    on: bool
    failures: int


class LookingStatus(msgspec.Struct, frozen=True):
    """A camera that answers and the model that looks at it, as of its newest row."""

    device: str
    model: str
    version: str
    trial: bool  # the version before is still there to go back to
    time_ns: int


class Status(msgspec.Struct, frozen=True):
    """What `tocsin edge status --json` prints."""

    gateway: str
    site: str
    version: str
    boot: str
    uptime_s: float
    clock: ClockState
    connected: bool | None  # None: no uplink is configured
    samples: int
    readings: int
    suppressed_readings: int
    waiting_samples: int
    pending_rows: int
    dropped_rows: int  # of this run: given up because the outbox was full
    outbox_bytes: int
    outbox_cap_bytes: int
    volatile: bool
    unjournalled_ms: int
    rss_bytes: int
    cpu_s: float
    alarms: int
    config: str  # the file in force
    remote: RemoteState  # what the cloud sent; version 0: the gateway's own file is in force
    at_restart: list[str]  # keys that differ in it and count only after a restart
    left_out: list[LeftOutStatus]  # sections with mistakes that we go without
    drivers: list[DriverStatus]
    devices: list[DeviceHealth]
    looking: list[LookingStatus]  # a model and its version for each camera that answers
    outputs: list[OutputStatus]
    counters: dict[str, int]


class DeviceCommands(msgspec.Struct, frozen=True):
    """What one device can be told."""

    device: str
    commands: tuple[CommandSpec, ...]


def _looking(values: list[LastValue]) -> list[LookingStatus]:
    trials = {v.device: bool(v.value) for v in values if v.quantity == "model_trial"}
    found = [
        (v, v.value.rpartition(" "))
        for v in values
        if v.device in trials and v.quantity == "model" and isinstance(v.value, str)
    ]
    return [
        LookingStatus(v.device, model, version, trials[v.device], v.time_ns)
        for v, (model, _, version) in found
    ]


def _within_s(args: Args) -> float:
    try:
        within_s = float(args.get("within_s", "30"))
    except ValueError:
        within_s = 0.0
    if not 0 < within_s <= _LONGEST_WITHIN_S:
        raise ControlError(f"within_s is a number up to {_LONGEST_WITHIN_S:g}")
    return within_s


class Operations:
    """What a running agent answers on its socket."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def table(self) -> tuple[Mapping[str, Call], Mapping[str, Stream]]:
        """Operations with one answer, and those with many."""
        calls: dict[str, Call] = {
            "status": self._status,
            "devices": self._devices,
            "values": self._values,
            "alarms": self._alarms,
            "ack": self._ack,
            "reset": self._reset,
            "counters": self._counters,
            "commands": self._commands,
            "command": self._command,
            "confirm": self._confirm,
            "reload": self._reload,
            "metrics": self._metrics,
            "permits": self._permits,
            "grant": self._grant,
        }
        return calls, {"tail": self._tail, "trace": self._trace, "samples": self._samples}

    async def _status(self, args: Args) -> Status:
        agent = self._agent
        stats = agent.outbox.stats()
        return Status(
            gateway=agent.config.gateway.id,
            site=agent.config.gateway.site,
            version=tocsin.__version__,
            boot=agent.boot,
            uptime_s=round(agent.uptime_s(), 3),
            clock=agent.timekeeper.state,
            connected=agent.link.connected if agent.link else None,
            samples=agent.flow.processed,
            readings=stats.readings,
            suppressed_readings=agent.flow.counters["suppressed"],
            waiting_samples=agent.flow.waiting,
            pending_rows=stats.pending_rows,
            dropped_rows=stats.dropped_rows,
            outbox_bytes=stats.bytes,
            outbox_cap_bytes=stats.cap_bytes,
            volatile=stats.volatile,
            unjournalled_ms=agent.outbox.unjournalled_ms,
            rss_bytes=vitals.rss_bytes(),
            cpu_s=round(vitals.cpu_s(), 3),
            alarms=len(agent.pipeline.board.active()),
            config=str(agent.loaded.path),
            remote=agent.sources.store.state,
            at_restart=agent.reloader.at_restart,
            left_out=[
                LeftOutStatus(part.name, part.line, [str(p) for p in part.problems])
                for part in agent.loaded.left_out
            ],
            drivers=[DriverStatus(d.name, d.type, d.state, d.restarts) for d in agent.drivers],
            devices=agent.devices.health(),
            looking=_looking(agent.devices.last_values()),
            outputs=[OutputStatus(o.name, o.is_on, o.failures) for o in agent.desk.outputs],
            counters=counts_of(agent),
        )

    async def _devices(self, args: Args) -> list[DeviceHealth]:
        return self._agent.devices.health()

    async def _values(self, args: Args) -> list[LastValue]:
        return self._agent.devices.last_values(self._device(args))

    async def _alarms(self, args: Args) -> list[AlarmView]:
        return self._agent.desk.views()

    async def _ack(self, args: Args) -> AlarmDraft:
        return await self._agent.desk.acknowledge(
            args.get("alarm", ""), actor=args.get("actor", ""), note=args.get("note", "")
        )

    async def _reset(self, args: Args) -> AlarmDraft:
        return await self._agent.desk.reset(
            args.get("alarm", ""), actor=args.get("actor", ""), note=args.get("note", "")
        )

    async def _commands(self, args: Args) -> list[DeviceCommands]:
        device = self._device(args)
        specs = self._agent.devices.specs()
        return [DeviceCommands(s.id, s.commands) for s in specs if device in ("", s.id)]

    async def _command(self, args: Args) -> Result:
        device, name, own = unpack(args)
        actor, within_s = args.get("actor", ""), _within_s(args)
        return await self._agent.orders.ask(device, name, own, actor, within_s)

    async def _confirm(self, args: Args) -> Result:
        actor, within_s = args.get("actor", ""), _within_s(args)
        return await self._agent.orders.confirm(args.get("code", ""), actor, within_s)

    async def _permits(self, args: Args) -> list[PermitView]:
        return (
            [view(self._agent.permits, w) for w in self._agent.permits.permits()]
            if (self._agent.permits)
            else []
        )

    async def _grant(self, args: Args) -> GrantAnswer:
        """Who has the key still has to prove it; the secret of a lock without signatures stays here."""
        lock, desk = args.get("lock", ""), self._agent.permits
        try:
            public = bytes.fromhex(args.get("public", ""))
        except ValueError:
            public = b""
        if len(public) != KEY_BYTES:
            raise ControlError(f"public is a key of {KEY_BYTES} bytes in hex")
        self._agent.locks.state(lock)
        found = desk.unlocker.find(lock, public) if desk is not None else None
        if isinstance(found, Refused):
            return GrantAnswer(reason=found.reason.value, text=sentence(found, "en"))
        if found is None:
            text = f"no permit at this gateway names the lock {lock}"
            return GrantAnswer(reason="no-permit", text=text)
        raw = base64.urlsafe_b64encode(found.grant.raw).decode().rstrip("=")
        return GrantAnswer(found.permit, raw, found.noted.rescue, found.noted.exp_ns)

    async def _metrics(self, args: Args) -> list[Metric]:
        return metrics(self._agent)

    async def _reload(self, args: Args) -> Reloaded:
        return await self._agent.reloader.again(own=bool(args.get("own")))

    async def _counters(self, args: Args) -> dict[str, int]:
        return counts_of(self._agent)

    async def _tail(self, args: Args) -> AsyncIterator[LastValue]:
        """Values as they are stored; an asker that is too slow misses some."""
        device = self._device(args)
        rows: asyncio.Queue[Row] = asyncio.Queue(_TAIL_ROWS)

        def hear(row: Row) -> None:
            if device in ("", row.layout.device) and not rows.full():
                rows.put_nowait(row)

        flow, devices = self._agent.flow, self._agent.devices
        flow.listen(hear)
        try:
            for value in devices.last_values(device):
                yield value
            while True:
                row = await rows.get()
                for value in devices.values(row):
                    yield value
        finally:
            flow.unlisten(hear)

    async def _trace(self, args: Args) -> AsyncIterator[object]:
        """The last frames of a device or driver; with `follow`, new ones after them."""
        frames, name = self._agent.frames, args.get("name", "")
        last = frames.last(name, int(args.get("last", KEPT)))
        watch = frames.watch(name)
        try:
            for frame in last:
                yield frame
            while "follow" in args:
                for item in await watch.next():
                    yield item
        finally:
            watch.close()

    async def _samples(self, args: Args) -> AsyncIterator[object]:
        """New frames of a device, and its samples as the driver gives them."""
        device, flow = args.get("device", ""), self._agent.flow
        watch = self._agent.frames.watch(device)

        def hear(sample: Sample) -> None:
            if sample.spec.id == device:
                watch.offer(taken(sample))

        flow.sample(hear)
        try:
            while True:
                for item in await watch.next():
                    yield item
        finally:
            flow.unsample(hear)
            watch.close()

    def _device(self, args: Args) -> str:
        device = args.get("device", "")
        known = [spec.id for spec in self._agent.devices.specs()]
        if device and device not in known:
            raise ControlError(
                f"no device {device!r} at this gateway", hint="devices: " + ", ".join(known)
            )
        return device
