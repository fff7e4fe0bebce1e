"""The ONVIF driver: where a camera looks, and whether it turns. It never turns it."""

from __future__ import annotations

from typing import ClassVar

from edge.drivers.onvif.config import OnvifConfig
from edge.drivers.onvif.values import spec_of, time_of, values_of
from edge.onvif.link import OnvifLink
from tocsin.contract.quality import Quality
from tocsin.errors import DeviceFaultError, DriverError, LinkError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample

_NS = 1_000_000_000


class OnvifDriver:
    """Asks one camera for its PTZ status."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = OnvifConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, OnvifConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._spec = spec_of(config)
        self._link = OnvifLink(config)
        self._newest_ns = 0
        self._well = False

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """The camera."""
        return (self._spec,)

    async def run(self) -> None:
        """Asks until cancelled.

        Raises:
            LinkError: the camera cannot be reached, refuses us, or is gone.
        """
        try:
            await self._link.open()
            await self._poll()
        except LinkError as exc:
            await self._failed(exc)
            raise
        finally:
            await self._link.close()

    async def _poll(self) -> None:
        clock, period_ns = self._context.clock, int(self._config.period_s * _NS)
        due_ns = clock.mono_ns()
        while True:
            try:
                await self._turn()
            except DeviceFaultError as exc:
                self._context.count(exc.reason.value, 1)
                await self._failed(exc)
            missed = (clock.mono_ns() - due_ns) // period_ns
            if missed:
                self._context.count("missed-polls", missed)
            due_ns += (missed + 1) * period_ns
            await clock.sleep((due_ns - clock.mono_ns()) / _NS)

    async def _turn(self) -> None:
        """One question. A camera's clock that stands still is not believed: the gateway's time is used then."""
        status = await self._link.status()
        values, quality = values_of(status)
        told_ns = time_of(status)
        source_ns = told_ns if told_ns is not None and told_ns > self._newest_ns else None
        self._newest_ns = max(self._newest_ns, told_ns or 0)
        self._context.count("reads", 1)
        self._well = True
        self._context.available(self._spec.id)
        now_ns = self._context.clock.now_ns()
        await self._context.emit(Sample(self._spec, now_ns, values, source_ns, quality))

    async def _failed(self, error: DriverError) -> None:
        """Told, and the first missing answer of the outage marked in the data."""
        self._context.unavailable(self._spec.id, error)
        if self._well:
            self._well = False
            count = len(self._spec.channels)
            codes = (int(Quality.COMMS),) * count
            now_ns = self._context.clock.now_ns()
            await self._context.emit(Sample(self._spec, now_ns, (None,) * count, quality=codes))

    async def probe(self) -> list[ProbeLine]:
        """Asks once."""
        try:
            await self._link.open()
            values, _ = values_of(await self._link.status())
        except DriverError as exc:
            text = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
            return [ProbeLine(self._spec.id, False, text)]
        finally:
            await self._link.close()
        shown = []
        for channel, value in zip(self._spec.channels, values, strict=True):
            if isinstance(value, float):
                number = value * channel.scale + channel.offset
                shown.append(f"{channel.quantity} {number:.4g} {channel.unit}")
            else:
                shown.append(f"{channel.quantity} {'none' if value is None else value}")
        return [ProbeLine(self._spec.id, True, ", ".join(shown))]
