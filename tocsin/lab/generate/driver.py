"""A driver that makes its samples up, for `tocsin bench`. What it stores is labelled: its devices are named `generated-*`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tocsin.sdk import Channel, DeviceSpec, DriverConfig, DriverContext, ProbeLine, Sample


class GenerateConfig(DriverConfig):
    """`type = "generate"`."""

    devices: int = Field(default=8, ge=1, le=1000, description="How many devices.")
    channels: int = Field(default=40, ge=1, le=200, description="Quantities per device.")
    samples_per_s: float = Field(
        default=0.0, ge=0, description="Of all devices together; 0: as fast as it goes."
    )


class GenerateDriver:
    """Sample n of a device has the values n, n + 1, n + 2, ... modulo 65536, as the bench's Modbus servers answer."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = GenerateConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, GenerateConfig)  # noqa: S101 - the registry pairs them
        self._config, self._context = config, context
        channels = tuple(Channel(f"v{i:02d}", "1", "i") for i in range(config.channels))
        self._devices = tuple(
            DeviceSpec(f"generated-{i + 1:03d}", "bench", channels, model="generated")
            for i in range(config.devices)
        )

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return self._devices

    async def probe(self) -> list[ProbeLine]:
        return [ProbeLine(d.id, ok=True, text="made up, not measured") for d in self._devices]

    async def run(self) -> None:
        clock, emit = self._context.clock, self._context.emit
        width, rate = self._config.channels, self._config.samples_per_s
        start_ns, sent, n = clock.mono_ns(), 0, 0
        for spec in self._devices:
            self._context.available(spec.id)
        while True:
            n += 1
            values = tuple((n + i) & 0xFFFF for i in range(width))
            for spec in self._devices:
                await emit(Sample(spec, clock.now_ns(), values))
                sent += 1
            ahead_s = sent / rate - (clock.mono_ns() - start_ns) / 1e9 if rate else 0.0
            await clock.sleep(max(0.0, ahead_s))
