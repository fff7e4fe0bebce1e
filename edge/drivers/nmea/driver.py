"""The `nmea` driver: a GNSS receiver's sentences become positions of one vehicle (NMEA 0183)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import ClassVar

from edge.drivers.nmea.config import NmeaConfig
from edge.drivers.nmea.links import open_link
from edge.ports import Link
from edge.shown import Shown
from firmware_bridges.nmea.epoch import EpochMerger, Fix
from firmware_bridges.nmea.lines import LineSplitter
from firmware_bridges.nmea.samples import sample, vehicle
from tocsin.errors import DriverError, DriverReason, FrameError, LinkError
from tocsin.sdk import DeviceSpec, DriverConfig, DriverContext, ProbeLine, SourceWindow

_PROBE_PERIODS = 3.0
_LAST_WORDS_S = 0.5  # to hand over the position that was being received when the driver is stopped


class NmeaDriver:
    """One receiver, one device."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = NmeaConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, NmeaConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        live = config.file is None
        self._spec = vehicle(
            config.device,
            config.measurement,
            period_s=config.period_s if live else None,
            window=SourceWindow(config.max_past_s if live else None, config.max_future_s),
            model=config.model,
        )

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return (self._spec,)

    async def _open(self) -> Link:
        show = partial(self._context.frame, self._config.device)
        return Shown(await open_link(self._config), show, b"\n")

    async def run(self) -> None:
        """Until cancelled; returns only at the end of a file."""
        link = await self._open()
        try:
            await _Session(self._config, self._context, self._spec, link).run()
        finally:
            link.close()

    async def probe(self) -> list[ProbeLine]:
        """Listen for a few periods and say what came."""
        device = self._config.device
        try:
            link = await self._open()
        except LinkError as exc:
            return [
                ProbeLine(device, False, f"{exc.message} ({exc.hint})" if exc.hint else exc.message)
            ]
        merger, splitter, heard = EpochMerger(), LineSplitter(), 0
        limit_s = _PROBE_PERIODS * self._config.period_s + 1.0
        fix: Fix | None = None
        try:
            async with asyncio.timeout(limit_s):
                while fix is None:
                    data = await link.read()
                    if not data:
                        break
                    heard += len(data)
                    for line in splitter.feed(data):
                        fix = merger.feed(line, self._context.clock.now_ns()) or fix
        except TimeoutError:
            pass
        except LinkError as exc:
            return [ProbeLine(device, False, exc.message)]
        finally:
            link.close()
        fix = fix or merger.flush()
        if fix is None:
            return [ProbeLine(device, False, _why_silent(heard, _whole(merger)).message)]
        where = (
            f"{fix.lat:.6f}, {fix.lon:.6f}" if fix.mode and fix.lat and fix.lon else "no fix yet"
        )
        used = "" if fix.satellites is None else f", {fix.satellites} satellites"
        return [ProbeLine(device, True, where + used)]


def _whole(merger: EpochMerger) -> int:
    return merger.counts["sentences"] + merger.counts["other"]


def _why_silent(heard: int, whole: int) -> DriverError:
    if heard == 0:
        return DriverError(
            DriverReason.NO_ANSWER,
            "nothing received",
            hint="check wiring (receiver TX to our RX), power and baud rate",
        )
    if whole == 0:
        return FrameError(
            DriverReason.GARBAGE,
            f"{heard} bytes received, no valid sentence among them",
            hint="check the baud rate",
        )
    return DriverError(
        DriverReason.NO_ANSWER,
        "sentences, but none with a position (RMC, GGA, GNS, GLL)",
        hint="switch these sentences on in the receiver",
    )


class _Session:
    """One open link, until it ends."""

    def __init__(
        self, config: NmeaConfig, context: DriverContext, spec: DeviceSpec, link: Link
    ) -> None:
        self._config, self._context, self._spec, self._link = config, context, spec, link
        self._merger, self._splitter = EpochMerger(), LineSplitter()
        self._told: dict[str, int] = {}
        self._mark()

    def _mark(self) -> None:
        """Start watching for silence anew."""
        self._since_ns = self._context.clock.mono_ns()
        self._heard, self._whole = 0, _whole(self._merger)

    async def run(self) -> None:
        try:
            await self._receive()
        except (asyncio.CancelledError, LinkError):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._emit(self._merger.flush())
            self._count()
            raise

    async def _receive(self) -> None:
        pause_s = min(self._config.quiet_gap_s, self._config.silence_s)
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    data = await self._link.read()
            except TimeoutError:
                await self._emit(self._merger.flush())
                self._watch_silence()
                continue
            if not data:
                break
            self._heard += len(data)
            for line in self._splitter.feed(data):
                await self._emit(self._merger.feed(line, self._context.clock.now_ns()))
            self._watch_silence()
        await self._emit(self._merger.feed(self._splitter.rest(), self._context.clock.now_ns()))
        await self._emit(self._merger.flush())
        self._count()

    async def _emit(self, fix: Fix | None) -> None:
        if fix is None:
            return
        self._mark()
        self._context.available(self._config.device)
        self._count()
        await self._context.emit(sample(self._spec, fix))

    def _watch_silence(self) -> None:
        quiet_ns = self._context.clock.mono_ns() - self._since_ns
        if self._config.file is not None or quiet_ns < self._config.silence_s * 1e9:
            return
        self._count()
        why = _why_silent(self._heard, _whole(self._merger) - self._whole)
        self._mark()
        self._context.unavailable(
            self._config.device,
            type(why)(why.reason, why.message, device=self._config.device, hint=why.hint),
        )

    def _count(self) -> None:
        counts = {**self._merger.counts, "overlong": self._splitter.dropped}
        for name, total in counts.items():
            new = total - self._told.get(name, 0)
            if new and name not in ("empty", "sentences"):
                self._context.count(f"nmea.{name}", new)
            self._told[name] = total
