"""The `gpsd` driver: positions of a receiver that gpsd reads, so that other programs can read it too."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from edge.drivers.gpsd.config import GpsdConfig
from edge.ports import TcpLink
from firmware_bridges.gpsd.reports import (
    CHANNELS,
    MAX_LINE,
    WATCH,
    Sky,
    decode_report,
    heard,
    sample,
)
from firmware_bridges.nmea.lines import LineSplitter
from tocsin.errors import CodecError, DriverError, DriverReason, LinkError
from tocsin.sdk import (
    DeviceSpec,
    DriverConfig,
    DriverContext,
    ProbeLine,
    Sample,
    SourceWindow,
)

_PROBE_PERIODS = 3.0


class GpsdDriver:
    """One receiver of one gpsd."""

    sdk: ClassVar[int] = 1
    Config: ClassVar[type[DriverConfig]] = GpsdConfig

    def __init__(self, config: DriverConfig, context: DriverContext) -> None:
        assert isinstance(config, GpsdConfig)  # noqa: S101 - the agent validates with Config
        self._config, self._context = config, context
        window = SourceWindow(config.max_past_s, config.max_future_s)
        self._spec = DeviceSpec(
            config.device, config.measurement, CHANNELS, config.period_s, window, config.model
        )

    @property
    def devices(self) -> tuple[DeviceSpec, ...]:
        return (self._spec,)

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            LinkError: gpsd cannot be reached, or has gone.
        """
        watch = _Watch(self._config, self._context, self._spec)
        await watch.open()
        try:
            while True:
                for one in await watch.read(self._config.silence_s):
                    self._context.available(self._spec.id)
                    await self._context.emit(one)
                if (silence := watch.silence(self._config.silence_s)) is not None:
                    self._context.unavailable(self._spec.id, silence)
        finally:
            watch.close()

    async def probe(self) -> list[ProbeLine]:
        """Listen for a few periods and say what came."""
        watch = _Watch(self._config, self._context, self._spec)
        found: list[Sample] = []
        try:
            await watch.open()
            async with asyncio.timeout(_PROBE_PERIODS * self._config.period_s + 1.0):
                while not found:
                    found = await watch.read(self._config.period_s)
        except TimeoutError:
            pass
        except LinkError as exc:
            return [ProbeLine(self._spec.id, False, _told(exc))]
        finally:
            watch.close()
        if not found:
            error = watch.silence(0.0)
            return [ProbeLine(self._spec.id, False, _told(error) if error else "no position")]
        lat, lon, *_ = found[-1].values
        text = "no fix yet" if lat is None else f"{lat:.6f}, {lon:.6f}"
        return [ProbeLine(self._spec.id, True, text)]


class _Watch:
    """One connection to gpsd."""

    def __init__(self, config: GpsdConfig, context: DriverContext, spec: DeviceSpec) -> None:
        self._config, self._context, self._spec = config, context, spec
        self._splitter = LineSplitter(MAX_LINE)
        self._link: TcpLink | None = None
        self._receiver = config.receiver
        self._receivers: set[str] = set()
        self._told: set[str] = set()
        self._sky = Sky()
        self._last: dict[str, Any] = {}
        self._since_ns = context.clock.mono_ns()

    async def open(self) -> None:
        config = self._config
        try:
            self._link = await TcpLink.open(config.connect, config.connect_timeout_s)
        except LinkError as exc:
            hint = "is gpsd running, and does it listen there? systemctl status gpsd.socket"
            raise LinkError(exc.reason, exc.message, hint=hint) from exc
        self._context.frame(self._spec.id, "tx", WATCH)
        await self._link.write(WATCH)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    async def read(self, limit_s: float) -> list[Sample]:
        """The positions in what comes next; none after `limit_s` without any bytes."""
        assert self._link is not None  # noqa: S101 - it is open
        try:
            async with asyncio.timeout(limit_s):
                data = await self._link.read()
        except TimeoutError:
            return []
        dropped = self._splitter.dropped
        found = [one for line in self._splitter.feed(data) if (one := self._line(line))]
        if self._splitter.dropped > dropped:
            self._context.count("gpsd.overlong", self._splitter.dropped - dropped)
        return found

    def silence(self, limit_s: float) -> DriverError | None:
        """Why there was no position for `limit_s`; said once in each such span."""
        now_ns = self._context.clock.mono_ns()
        if now_ns - self._since_ns < limit_s * 1e9:
            return None
        self._since_ns = now_ns
        if not self._receivers:
            text, hint = "gpsd has no receiver", "DEVICES in /etc/default/gpsd; gpsdctl add"
        elif self._receiver is not None and self._receiver not in self._receivers:
            text = f"gpsd has no receiver {self._receiver}"
            hint = f"it has {', '.join(sorted(self._receivers))}"
        else:
            text, hint = (
                "the receiver tells gpsd no position",
                "cgps, or gpsmon, shows what it tells",
            )
        return DriverError(DriverReason.NO_ANSWER, text, device=self._spec.id, hint=hint)

    def _line(self, line: bytes) -> Sample | None:
        if not line.strip():
            return None
        self._context.frame(self._spec.id, "rx", line)
        try:
            report = decode_report(line)
        except CodecError as error:
            self._context.count(f"gpsd.{error.reason.value}", 1)
            return None
        kind, path = report["class"], report.get("device")
        if kind == "DEVICES" and isinstance(report.get("devices"), list):
            found = [d.get("path") for d in report["devices"] if isinstance(d, dict)]
            self._receivers = {path for path in found if isinstance(path, str)}
        elif kind == "DEVICE" and isinstance(report.get("path"), str):
            self._receivers.add(report["path"])
        elif kind == "ERROR":
            self._context.count("gpsd.errors", 1)
            self._context.log.warning("gpsd says: %.200s", report.get("message"))
        elif kind in ("TPV", "SKY", "GST") and self._mine(kind, path):
            return self._position(kind, report)
        return None

    def _mine(self, kind: str, path: object) -> bool:
        """Whether this is the receiver that is wanted; without one named, the first with a position is."""
        if not isinstance(path, str):
            return True  # a gpsd with one receiver need not name it
        self._receivers.add(path)
        if self._receiver is None and kind == "TPV":
            self._receiver = path
        if self._receiver in (None, path):
            return True
        self._context.count("gpsd.other_receiver", 1)
        if path not in self._told:
            self._told.add(path)
            self._context.log.info("%s is not read; `receiver` is %s", path, self._receiver)
        return False

    def _position(self, kind: str, report: dict[str, Any]) -> Sample | None:
        if kind != "TPV":
            self._sky = heard(self._sky, report)
            return None
        if report == self._last:
            self._context.count("gpsd.repeated", 1)
            return None
        self._last = report
        self._since_ns = self._context.clock.mono_ns()
        self._context.count("gpsd.positions", 1)
        return sample(self._spec, report, self._sky, self._context.clock.now_ns())


def _told(error: DriverError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
