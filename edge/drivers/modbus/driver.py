"""The Modbus driver: one owner of one port, each device on its own clock, no device at another's cost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any, ClassVar

from edge.drivers.modbus.config import ModbusConfig
from edge.drivers.modbus.link import ModbusLink
from edge.drivers.modbus.orders import Orders
from edge.drivers.modbus.plan import Block
from edge.drivers.modbus.station import Station
from edge.ports import PORT_REASONS
from edge.rota import NS, Rota
from firmware_bridges.modbus.pdu import ExceptionCode
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.errors import (
    DeviceFaultError,
    DriverError,
    DriverReason,
    FrameError,
    LinkError,
    UsageError,
)
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample

_Part = tuple[Block, bytes | None, DeviceFaultError | None]  # read or refused


class ModbusDriver:
    """Polls the devices of one serial line or TCP connection."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = ModbusConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        if not isinstance(config, ModbusConfig):
            raise TypeError("a modbus driver takes a ModbusConfig")
        self._config = config
        self._context = context
        self._link = ModbusLink(config, context)
        self._stations = tuple(Station(config, device) for device in config.devices)
        self._rota: Rota[Station] | None = None
        self._orders = Orders(config, self._link, context.clock)
        self._random = Random()
        self._late = 0

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """Every device of the line."""
        return tuple(station.spec for station in self._stations)

    async def run(self) -> None:
        """Polls until cancelled.

        Raises:
            LinkError: the port cannot be opened, or is gone.
        """
        try:
            await self._link.open()
            self._orders.open = True
            await self._poll()
        except LinkError as exc:
            for station in self._stations:
                await self._lost(station, exc)
            raise
        finally:
            self._orders.close()
            self._link.close()

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other devices while it runs; anything else needs the port anew."""
        if not isinstance(config, ModbusConfig):
            return False
        if config.model_copy(update={"devices": self._config.devices}) != self._config:
            return False
        before = {station.device.id: station for station in self._stations}
        self._stations = tuple(
            before[device.id]
            if device.id in before and before[device.id].device == device
            else Station(config, device)
            for device in config.devices
        )
        self._config = config
        self._orders.keep(self._stations)
        if self._rota is not None:
            self._rota.replace(self._stations, self._context.clock.mono_ns())
        return True

    async def command(
        self, device: str, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Have one write carried out before the next read; `{"written": [...]}`, and `"verified"` if it was read back.

        Raises:
            UsageError: no such command, or wrong arguments.
            CommandRefusedError: 16 wait already, or its turn did not come in time.
            DriverError: see `tocsin.sdk.TakesCommands`.
        """
        station = next((s for s in self._stations if s.spec.id == device), None)
        if station is None:
            raise UsageError(f"{self._config.name} has no device {device!r}")
        return await self._orders.put(station, name, args, within_s)

    async def _poll(self) -> None:
        clock = self._context.clock
        self._rota = rota = Rota(self._stations, clock.mono_ns())
        while True:
            await self._orders.carry_out()
            now_ns, stations = clock.mono_ns(), self._stations
            station, due_ns = rota.next(now_ns)
            if due_ns > now_ns:
                await self._orders.pause((due_ns - now_ns) / NS)
                if stations is not self._stations or clock.mono_ns() < due_ns:
                    continue  # other devices, or a command
            started_ns = clock.mono_ns()
            await self._turn(station, started_ns)
            rota.took(station, started_ns, clock.mono_ns())

    async def _turn(self, station: Station, started_ns: int) -> None:
        """One read of one device, with its retries."""
        context = self._context
        tries = 1 + (self._config.retries if station.well else 0)
        while True:
            try:
                sample, refusal = await self._scan(station)
                break
            except DriverError as exc:
                if station not in self._stations and exc.reason not in PORT_REASONS:
                    return
                context.count(exc.reason.value, 1)
                if exc.reason in PORT_REASONS:
                    raise
                station.unsure = station.unsure or not isinstance(exc, DeviceFaultError)
                tries -= 1
                if tries == 0 or isinstance(exc, DeviceFaultError):
                    await self._give_up(station, exc)
                    return
                await self._orders.carry_out()
        if station not in self._stations:
            return  # reconfigured while it was read
        station.unsure = False
        missed = station.succeeded(started_ns, context.clock.mono_ns())
        context.count("reads", 1)
        if missed:
            context.count("missed-polls", missed)
        if self._link.late != self._late:
            context.count(DriverReason.LATE_ANSWER.value, self._link.late - self._late)
            self._late = self._link.late
        if refusal is None:
            context.available(station.spec.id)
        else:
            context.count(refusal.reason.value, 1)
            context.unavailable(station.spec.id, refusal)
        await context.emit(sample)

    async def _give_up(self, station: Station, error: DriverError) -> None:
        """Tells it, and marks the first missing scan of an outage in the data."""
        first = station.well
        station.failed(self._context.clock.mono_ns(), self._random)
        self._context.unavailable(station.spec.id, _of_device(error, station.spec.id))
        if first:
            await self._emit_gap(station)

    async def _lost(self, station: Station, error: LinkError) -> None:
        """The port is gone, and with it this device."""
        first = station.well
        station.failures = max(1, station.failures)
        self._context.unavailable(station.spec.id, error)
        if first:
            await self._emit_gap(station)

    async def _emit_gap(self, station: Station) -> None:
        count = len(station.spec.channels)
        await self._context.emit(
            Sample(
                spec=station.spec,
                ts_ns=self._context.clock.now_ns(),
                values=(None,) * count,
                quality=(int(Quality.COMMS),) * count,
            )
        )

    async def _scan(self, station: Station) -> tuple[Sample, DeviceFaultError | None]:
        """All blocks of a device under one stamp; blocks that it refuses are missing, unless all are."""
        patience_s = station.patience_s
        if station.unsure and not self._config.has_transactions:
            await self._catch_up(station, patience_s)
        parts: list[_Part] = []
        for block in station.scan.blocks:
            parts += await self._read(station, block, patience_s)
        bodies = [body for _, body, _ in parts]
        refusal = next((refusal for *_, refusal in parts if refusal is not None), None)
        if refusal is not None and not any(bodies):
            raise refusal
        if station.learn(tuple(block for block, _, _ in parts)):
            self._context.count("split-reads", 1)
            text = (
                "%s does not have all registers between its first and last one: read in %d requests"
            )
            self._context.log.info(text, station.spec.id, len(parts))
        values: tuple[Value, ...]
        values, quality = station.scan.decode(bodies)
        sample = Sample(
            spec=station.spec,
            ts_ns=self._context.clock.now_ns(),
            values=values,
            quality=quality,
        )
        return sample, refusal

    async def _read(self, station: Station, block: Block, patience_s: float) -> list[_Part]:
        """A block, in smaller ones if the device does not have all of it."""
        try:
            body = await self._link.read(station.spec.id, station.device.unit_id, block, patience_s)
        except DeviceFaultError as exc:
            refused = exc
        else:
            return [(block, body, None)]
        smaller = station.parts(block) if refused.number == ExceptionCode.ILLEGAL_ADDRESS else ()
        if smaller:
            parts = [p for part in smaller for p in await self._read(station, part, patience_s)]
            if any(body is not None for _, body, _ in parts):
                return parts
            station.keep_whole(block)
        return [(block, None, _fault_of(refused, station.spec.id, block))]

    async def _catch_up(self, station: Station, patience_s: float) -> None:
        """Without transaction numbers: a read of another length, so that an old answer cannot pass for its answer."""
        with suppress(DeviceFaultError):  # it refuses the odd read: so it is there, and in step
            await self._link.read(station.spec.id, station.device.unit_id, station.sync, patience_s)
        station.unsure = False

    async def probe(self) -> list[ProbeLine]:
        """Reads each device once."""
        lines: list[ProbeLine] = []
        try:
            await self._link.open()
            for station in self._stations:
                line = await self._probe(station)
                lines.append(line)
        except LinkError as exc:
            done = {line.device for line in lines}
            rest = [s.spec.id for s in self._stations if s.spec.id not in done]
            lines += [ProbeLine(device, ok=False, text=_told(exc)) for device in rest]
        finally:
            self._link.close()
        return lines

    async def _probe(self, station: Station) -> ProbeLine:
        name = station.spec.id
        try:
            sample, refusal = await self._scan(station)
        except (DeviceFaultError, FrameError, LinkError) as exc:
            if exc.reason in PORT_REASONS:
                raise
            station.unsure = True
            return ProbeLine(name, ok=False, text=_told(exc))
        shown = [
            _shown(channel.quantity, channel.unit, value, channel.scale, channel.offset)
            for channel, value in zip(station.spec.channels, sample.values, strict=True)
        ]
        text = ", ".join(shown)
        if refusal is not None:
            return ProbeLine(name, ok=False, text=f"{refusal.message}; {text}")
        return ProbeLine(name, ok=True, text=text)


def _shown(quantity: str, unit: str, value: Value, scale: float, offset: float) -> str:
    if value is None:
        return f"{quantity} none"
    if isinstance(value, float):
        return f"{quantity} {value * scale + offset:.6g} {unit}"
    return f"{quantity} {value}"


def _told(error: DriverError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _of_device(error: DriverError, device: str) -> DriverError:
    if error.device:
        return error
    return type(error)(error.reason, error.message, device=device, hint=error.hint)


def _fault_of(error: DeviceFaultError, device: str, block: Block) -> DeviceFaultError:
    text = f"{error.message} for {block.count} from {block.address} (function {block.function})"
    return DeviceFaultError(error.reason, text, device=device, hint=error.hint)
