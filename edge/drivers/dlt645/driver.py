"""The `dlt645` driver: electricity meters on one line, each on its own clock, no meter at another's cost. It only reads."""

from __future__ import annotations

import asyncio
from random import Random
from typing import ClassVar

from edge.drivers.dlt645.config import Dlt645Config, MeterConfig
from edge.drivers.dlt645.line import NO_SUCH_DATA, Line
from edge.ports import PORT_REASONS
from edge.rota import NS, Rota, Turn
from firmware_bridges.dlt645.identifiers import meaning
from firmware_bridges.dlt645.values import number
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.errors import DeviceFaultError, DriverError, DriverReason, FrameError, LinkError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample


class Meter(Turn):
    """Mutable state of one meter."""

    def __init__(self, config: Dlt645Config, meter: MeterConfig) -> None:
        super().__init__(
            period_s=meter.period_s,
            timeout_s=meter.timeout_s or config.timeout_s,
            backoff_max_s=config.backoff_max_s,
        )
        self.config = meter
        self.identifiers = meter.identifiers()
        self.unknown: set[str] = (
            set()
        )  # quantities it said it does not have; asked again after an outage
        self.spec = DeviceSpec(
            id=meter.id,
            measurement=meter.measurement,
            channels=meter.channels(),
            period_s=meter.period_s,
            model=meter.model,
        )


class Dlt645Driver:
    """Reads the meters of one serial line or TCP connection."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = Dlt645Config

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, Dlt645Config)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._line = Line(config, context)
        self._meters = tuple(Meter(config, one) for one in config.devices)
        self._rota: Rota[Meter] | None = None
        self._others = asyncio.Event()
        self._random = Random()

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return tuple(meter.spec for meter in self._meters)

    async def run(self) -> None:
        """Reads until cancelled.

        Raises:
            LinkError: the port cannot be opened, or is gone.
        """
        try:
            await self._line.open()
            await self._poll()
        except LinkError as exc:
            for meter in self._meters:
                await self._lost(meter, exc)
            raise
        finally:
            self._line.close()

    def reconfigure(self, config: DriverConfig) -> bool:
        """Takes other meters while it runs; anything else needs the port anew."""
        if not isinstance(config, Dlt645Config):
            return False
        if config.model_copy(update={"devices": self._config.devices}) != self._config:
            return False
        before = {meter.config.id: meter for meter in self._meters}
        self._meters = tuple(
            before[one.id]
            if one.id in before and before[one.id].config == one
            else Meter(config, one)
            for one in config.devices
        )
        self._config = config
        if self._rota is not None:
            self._rota.replace(self._meters, self._context.clock.mono_ns())
        self._others.set()
        return True

    async def _poll(self) -> None:
        clock = self._context.clock
        self._rota = rota = Rota(self._meters, clock.mono_ns())
        while True:
            self._others.clear()
            now_ns = clock.mono_ns()
            meter, due_ns = rota.next(now_ns)
            if due_ns > now_ns:
                try:
                    async with asyncio.timeout((due_ns - now_ns) / NS):
                        await self._others.wait()
                    continue
                except TimeoutError:
                    pass
            started_ns = clock.mono_ns()
            await self._turn(meter, started_ns)
            rota.took(meter, started_ns, clock.mono_ns())

    async def _turn(self, meter: Meter, started_ns: int) -> None:
        """One read of one meter."""
        context = self._context
        try:
            sample = await self._scan(meter)
        except DriverError as exc:
            if exc.reason in PORT_REASONS:
                raise
            if meter in self._meters:
                await self._give_up(meter, exc)
            return
        if meter not in self._meters:
            return  # reconfigured while it was read
        missed = meter.succeeded(started_ns, context.clock.mono_ns())
        context.count("reads", 1)
        if missed:
            context.count("missed-polls", missed)
        context.available(meter.spec.id)
        await context.emit(sample)

    async def _scan(self, meter: Meter) -> Sample:
        """All identifiers of a meter under one stamp; what it does not have, or tells as no digits, is missing."""
        values: list[Value] = []
        quality: list[int] = []
        for quantity, di in meter.identifiers.items():
            value = None
            if quantity not in meter.unknown:
                try:
                    value = _number(di, await self._read(meter, di))
                except DeviceFaultError as exc:
                    if not (exc.number or 0) & NO_SUCH_DATA:
                        raise
                    meter.unknown.add(quantity)
            values.append(value)
            quality.append(int(Quality.MISSING) if value is None else 0)
        if len(meter.unknown) == len(meter.identifiers):
            meter.unknown.clear()
            raise DeviceFaultError(
                DriverReason.EXCEPTION_CODE,
                "it has none of the data it is asked for",
                hint="another profile? a meter of 1997 has identifiers of two bytes",
            )
        return Sample(
            spec=meter.spec,
            ts_ns=self._context.clock.now_ns(),
            values=tuple(values),
            quality=tuple(quality) if any(quality) else None,
        )

    async def _read(self, meter: Meter, di: bytes) -> bytes:
        """The data of one identifier, with retries while the meter is well."""
        tries = 1 + (self._config.retries if meter.well else 0)
        while True:
            try:
                return await self._line.read(meter.config, di, meter.patience_s)
            except DriverError as exc:
                self._context.count(exc.reason.value, 1)
                tries -= 1
                if not tries or exc.reason in PORT_REASONS or isinstance(exc, DeviceFaultError):
                    raise

    async def _give_up(self, meter: Meter, error: DriverError) -> None:
        """Tells it, and marks the first missing scan of an outage in the data."""
        first = meter.well
        meter.failed(self._context.clock.mono_ns(), self._random)
        meter.unknown.clear()
        told = type(error)(error.reason, error.message, device=meter.spec.id, hint=error.hint)
        self._context.unavailable(meter.spec.id, told)
        if first:
            await self._emit_gap(meter)

    async def _lost(self, meter: Meter, error: LinkError) -> None:
        """The port is gone, and with it this meter."""
        first = meter.well
        meter.failures = max(1, meter.failures)
        self._context.unavailable(meter.spec.id, error)
        if first:
            await self._emit_gap(meter)

    async def _emit_gap(self, meter: Meter) -> None:
        count = len(meter.spec.channels)
        await self._context.emit(
            Sample(
                spec=meter.spec,
                ts_ns=self._context.clock.now_ns(),
                values=(None,) * count,
                quality=(int(Quality.COMMS),) * count,
            )
        )

    async def probe(self) -> list[ProbeLine]:
        """Reads each meter once."""
        lines: list[ProbeLine] = []
        try:
            await self._line.open()
            for meter in self._meters:
                line = await self._probe(meter)
                lines.append(line)
        except LinkError as exc:
            done = {line.device for line in lines}
            rest = [m.spec.id for m in self._meters if m.spec.id not in done]
            lines += [ProbeLine(device, ok=False, text=_told(exc)) for device in rest]
        finally:
            self._line.close()
        return lines

    async def _probe(self, meter: Meter) -> ProbeLine:
        try:
            sample = await self._scan(meter)
        except (DeviceFaultError, FrameError, LinkError) as exc:
            if exc.reason in PORT_REASONS:
                raise
            return ProbeLine(meter.spec.id, ok=False, text=_told(exc))
        shown = [
            f"{channel.quantity} none"
            if not isinstance(value, float)
            else f"{channel.quantity} {value * channel.scale:g} {channel.unit}"
            for channel, value in zip(meter.spec.channels, sample.values, strict=True)
        ]
        return ProbeLine(meter.spec.id, ok=True, text=", ".join(shown))


def _number(di: bytes, data: bytes) -> float | None:
    told = meaning(di)
    assert told is not None  # noqa: S101 - the configuration is validated
    if len(data) != told.size:
        raise FrameError(
            DriverReason.GARBAGE, f"{di.hex()} has {len(data)} bytes, {told.size} are right"
        )
    return number(data[::-1], told)


def _told(error: DriverError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
