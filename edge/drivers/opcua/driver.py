"""The OPC UA driver: one session with one server, each device subscribed to or read on its own."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from edge.drivers.opcua.config import OpcUaConfig, OpcUaDevice
from edge.drivers.opcua.link import OpcUaLink
from edge.drivers.opcua.values import Told, judge, sample, samples, spec_of
from firmware_bridges.opcua.quality import quality_of
from tocsin.contract.quality import Quality, Severity, severity
from tocsin.errors import DeviceFaultError, DriverError, DriverReason
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample

_LOOK_S = 1.0  # how often a subscriber looks whether the session stands
_NS = 1_000_000_000


class OpcUaDriver:
    """Reads the variables of one server."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = OpcUaConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, OpcUaConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._link = OpcUaLink(config)
        self._parts = tuple(
            _Device(config, device, context, self._link) for device in config.devices
        )

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """Every device behind the server."""
        return tuple(part.spec for part in self._parts)

    async def run(self) -> None:
        """Acquires until cancelled.

        Raises:
            LinkError: the server cannot be reached, refuses, or is gone.
        """
        try:
            await self._link.open()
            try:
                async with asyncio.TaskGroup() as tasks:
                    for part in self._parts:
                        tasks.create_task(part.run(), name=f"opcua:{part.spec.id}")
            except ExceptionGroup as group:
                raise _first(group) from None
        except DriverError as exc:
            for part in self._parts:
                await part.lost(exc)
            raise
        finally:
            await self._link.close()

    async def probe(self) -> list[ProbeLine]:
        """Reads each device once."""
        lines: list[ProbeLine] = []
        try:
            await self._link.open()
            lines.extend([await part.probe() for part in self._parts])
        except DriverError as exc:
            text = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
            lines += [ProbeLine(p.spec.id, False, text) for p in self._parts]
        finally:
            await self._link.close()
        return lines


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first failure that is no group."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


class _Device:
    """One device of a session."""

    def __init__(
        self, config: OpcUaConfig, device: OpcUaDevice, context: DriverContext, link: OpcUaLink
    ) -> None:
        self._config, self._device, self._context, self._link = config, device, context, link
        self.spec = spec_of(config, device)
        self._newest_ns = 0
        self._well = False
        self._state: dict[int, Told] = {}

    async def run(self) -> None:
        """Until the session is gone.

        Raises:
            LinkError: it is.
        """
        nodes = await self._link.nodes(self._device)
        if self._config.mode == "poll":
            await self._poll(nodes)
        else:
            await self._follow(nodes)

    async def _poll(self, nodes: list[Any]) -> None:
        clock, period_ns = self._context.clock, int(self._device.period_s * _NS)
        due_ns = clock.mono_ns()
        while True:
            await self._read(nodes)
            missed = (clock.mono_ns() - due_ns) // period_ns
            if missed:
                self._context.count("missed-polls", missed)
            due_ns += (missed + 1) * period_ns
            await clock.sleep((due_ns - clock.mono_ns()) / _NS)

    async def _read(self, nodes: list[Any]) -> None:
        """All values under one stamp: the newest source time if that moved on, else the gateway's."""
        found = await self._link.read(nodes)
        source_ns = self._newest(found)
        self._context.count("reads", 1)
        await self._tell(found, [sample(self.spec, found, source_ns, self._context.clock.now_ns())])

    def _newest(self, found: list[Told]) -> int | None:
        """The newest source time of these, if it is newer than all before."""
        newest_ns = max((one.source_ns or 0 for one in found), default=0)
        if newest_ns <= self._newest_ns:
            return None
        self._newest_ns = newest_ns
        return newest_ns

    async def _follow(self, nodes: list[Any]) -> None:
        clock = self._context.clock
        changes = await self._link.subscribe(nodes, self._device.period_s)
        if changes.refused:
            refused = [Told(i, None, status, None) for i, status in changes.refused.items()]
            await self._tell(refused, [sample(self.spec, refused, None, clock.now_ns())])
        refresh_s = self._config.refresh_s
        look_s = min(_LOOK_S, refresh_s or _LOOK_S)
        refreshed_ns = clock.mono_ns()
        while True:
            found = await changes.next(look_s)
            if found:
                self._newest(found)
                self._context.count("changes", len(found))
                await self._tell(found, samples(self.spec, found, clock.now_ns()))
            self._link.check()
            if refresh_s and clock.mono_ns() - refreshed_ns >= refresh_s * _NS:
                refreshed_ns = clock.mono_ns()
                await self._read(nodes)

    async def _tell(self, found: list[Told], made: list[Sample]) -> None:
        """Hands over samples, and says whether the device gives anything."""
        self._state |= {one.channel: one for one in found}
        bad = {
            i: t for i, t in self._state.items() if severity(quality_of(t.status)) is Severity.BAD
        }
        self._well = len(bad) < len(self._state)
        if self._well:
            self._context.available(self.spec.id)
        else:
            self._context.unavailable(self.spec.id, self._fault(next(iter(bad.values()))))
        for one in made:
            await self._context.emit(one)

    def _fault(self, one: Told) -> DeviceFaultError:
        node = self._device.nodes[one.channel].node
        return DeviceFaultError(
            DriverReason.EXCEPTION_CODE,
            f"no variable has a value; {node} has status 0x{one.status:08X}",
            device=self.spec.id,
            hint="compare the node ids with the server's address space",
            number=one.status,
        )

    async def lost(self, error: DriverError) -> None:
        """The session is gone: said, and the first missing value of the outage marked in the data."""
        self._context.unavailable(self.spec.id, error)
        if self._well:
            self._well = False
            count = len(self.spec.channels)
            await self._context.emit(
                Sample(
                    self.spec,
                    self._context.clock.now_ns(),
                    (None,) * count,
                    quality=(int(Quality.COMMS),) * count,
                )
            )

    async def probe(self) -> ProbeLine:
        """Reads everything once.

        Raises:
            LinkError: the session is gone.
        """
        found = await self._link.read(await self._link.nodes(self._device))
        shown, good = [], 0
        for one in found:
            channel = self.spec.channels[one.channel]
            value, code = judge(channel.type, one)
            good += value is not None
            if value is None:
                shown.append(f"{channel.quantity} none ({Quality(code).name.lower()})")
            elif channel.type == "f" and isinstance(value, int | float):
                number = value * channel.scale + channel.offset
                shown.append(f"{channel.quantity} {number:.6g} {channel.unit}")
            else:
                shown.append(f"{channel.quantity} {value}")
        return ProbeLine(self.spec.id, good > 0, ", ".join(shown))
