"""The `replay` driver: a recording becomes the samples of one device."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from edge.drivers.replay.config import ReplayConfig
from edge.drivers.replay.csv_recording import CsvRecording
from edge.drivers.replay.gpx_recording import GpxRecording
from edge.drivers.replay.nmea_recording import NmeaRecording
from edge.drivers.replay.record import Record, Recording
from tocsin.errors import DriverError
from tocsin.sdk import (
    Clock,
    DeviceSpec,
    DriverConfig,
    DriverContext,
    ProbeLine,
    Sample,
    SourceWindow,
)

_FAIR_SHARE = 64  # rows between two turns of the event loop at speed max


class ReplayDriver:
    """One file, one device. `run` returns when the file has ended."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = ReplayConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, ReplayConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        self._recording = _recording(config)
        self._spec = DeviceSpec(
            config.device,
            config.measurement,
            self._recording.channels,
            config.period_s,
            SourceWindow(max_past_s=None),
            config.model,
        )

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return (self._spec,)

    async def run(self) -> None:
        """Once through the file, or for ever with `loop`."""
        while True:
            rows = await self._once()
            if not self._config.loop:
                return
            if rows == 0:
                await self._context.clock.sleep(1.0)

    async def _once(self) -> int:
        config, context = self._config, self._context
        pacer = None if config.speed == "max" else Pacer(config, context.clock)
        rows = 0
        for record in self._recording.records(context.count):
            if pacer is not None:
                await pacer.wait(record.time_ns)
            if rows == 0:
                context.available(config.device)
            rows += 1
            await context.emit(self._sample(record))
            if rows % _FAIR_SHARE == 0:
                await asyncio.sleep(0)
        context.count("replay.rows", rows)
        return rows

    def _sample(self, record: Record) -> Sample:
        source_ns = record.time_ns if self._config.stamp == "source" else None
        now_ns = self._context.clock.now_ns()
        return Sample(self._spec, now_ns, record.values, source_ns, record.quality)

    async def probe(self) -> list[ProbeLine]:
        """Read the first row."""
        device = self._config.device
        try:
            first = next(iter(self._recording.records(lambda _name, _n: None)), None)
        except DriverError as exc:
            return [ProbeLine(device, False, exc.message)]
        if first is None:
            return [ProbeLine(device, False, f"{self._config.file}: no rows")]
        there = sum(value is not None for value in first.values)
        return [
            ProbeLine(device, True, f"{there} of {len(first.values)} quantities in the first row")
        ]


class Pacer:
    """Sleeps so that rows come as far apart as they were recorded, divided by the factor."""

    def __init__(self, config: ReplayConfig, clock: Clock) -> None:
        self._factor = config.speed if isinstance(config.speed, float) else 1.0
        self._max_gap_s = config.max_gap_s
        self._untimed_s = config.period_s or 1.0
        self._clock = clock
        self._due_ns: int | None = None
        self._last_ns: int | None = None

    async def wait(self, time_ns: int | None) -> None:
        """Until the row of `time_ns` is due; a step back in recorded time takes none."""
        if self._due_ns is None:
            self._due_ns, self._last_ns = self._clock.mono_ns(), time_ns
            return
        gap_s = self._untimed_s
        if time_ns is not None and self._last_ns is not None:
            gap_s = max(0.0, (time_ns - self._last_ns) / 1e9)
        gap_s /= self._factor
        if self._max_gap_s is not None:
            gap_s = min(gap_s, self._max_gap_s)
        if time_ns is not None:
            self._last_ns = time_ns
        self._due_ns += int(gap_s * 1e9)
        late_s = (self._clock.mono_ns() - self._due_ns) / 1e9
        await self._clock.sleep(max(0.0, -late_s))


def _recording(config: ReplayConfig) -> Recording:
    if config.csv is not None:
        return CsvRecording(config.file, config.csv)
    return GpxRecording(config.file) if config.format == "gpx" else NmeaRecording(config.file)
