"""What one connection to a board has told so far: messages to samples and acknowledgements. Pure."""

from __future__ import annotations

from collections import Counter

import msgspec

from edge.drivers.mcu.config import McuConfig
from firmware_bridges.mcu.messages import Data, Hello, Number
from tocsin.contract.quality import Quality
from tocsin.errors import DriverError, DriverReason
from tocsin.sdk import Channel, DeviceSpec, Sample, SourceWindow

_REMEMBERED = 4096  # sequence numbers of a boot that are told apart from resends
_DRIFT = 200e-6  # how much faster than ours a board's clock may run


class Taken(msgspec.Struct, frozen=True):
    """What to do with one data frame: keep the sample if there is one, then acknowledge if told to."""

    sample: Sample | None
    acknowledge: bool


class Session:
    """One board over all its starts. `counts` are health counters."""

    def __init__(self, config: McuConfig, spec: DeviceSpec) -> None:
        self._config, self._spec = config, spec
        self._hello: Hello | None = None
        self._indices: tuple[int, ...] = ()
        self._seen: dict[int, None] = {}
        self._highest = -1
        self._offset_ns: float | None = None
        self._at_ns = 0
        self.counts: Counter[str] = Counter()

    @property
    def introduced(self) -> bool:
        """Whether the board has said what it is, and it is the one configured."""
        return self._hello is not None

    def greet(self, hello: Hello, now_ns: int, mono_ns: int) -> None:
        """Take a hello.

        Raises:
            DriverError: another board, or its sensors are not those configured.
        """
        known = self._hello
        self._hello = None
        if self._config.board is not None and hello.board != self._config.board:
            raise DriverError(
                DriverReason.REFUSED,
                f"this is board {hello.board!r}, not {self._config.board!r}",
                device=self._config.device,
                hint="compare the port, or set board",
            )
        self._indices = self._find(hello)
        if known is None or known.boot != hello.boot:
            self._seen.clear()
            self._highest, self._offset_ns = -1, None
            self.counts["boots"] += 1
        self._hello = hello
        self._tell_time(hello.uptime_ms, now_ns, mono_ns)

    def _find(self, hello: Hello) -> tuple[int, ...]:
        names = [s.name for s in hello.sensors]
        found = []
        for channel in self._config.channels:
            if channel.sensor not in names:
                raise self._unlike(f"has no sensor {channel.sensor!r}", hello)
            index = names.index(channel.sensor)
            if hello.sensors[index].unit != channel.unit:
                unit = hello.sensors[index].unit
                text = f"tells {channel.sensor} in {unit!r}, configured is {channel.unit!r}"
                raise self._unlike(text, hello)
            found.append(index)
        return tuple(found)

    def _unlike(self, text: str, hello: Hello) -> DriverError:
        told = ", ".join(f'{{ sensor = "{s.name}", unit = "{s.unit}" }}' for s in hello.sensors)
        return DriverError(
            DriverReason.REFUSED,
            f"board {hello.board!r} {text}",
            device=self._config.device,
            hint=f"channels = [{told}]",
        )

    def _tell_time(self, uptime_ms: int, now_ns: int, mono_ns: int) -> None:
        candidate = float(now_ns - uptime_ms * 1_000_000)
        if self._offset_ns is None:
            self._offset_ns = candidate
        else:
            # a frame is never early: the least delay seen is the best guess, and may grow as clocks drift apart
            self._offset_ns = min(candidate, self._offset_ns + (mono_ns - self._at_ns) * _DRIFT)
        self._at_ns = mono_ns

    def take(self, data: Data, now_ns: int, mono_ns: int) -> Taken:
        """One data frame; the board must have been greeted."""
        if data.seq in self._seen or data.seq <= self._highest - _REMEMBERED:
            self.counts["resent"] += 1
            return Taken(None, acknowledge=True)
        hello = self._hello
        if hello is None or len(data.values) != len(hello.sensors):
            self.counts["misfits"] += 1
            return Taken(None, acknowledge=False)
        if data.seq > self._highest + 1 and self._highest >= 0:
            self.counts["gaps"] += 1
        self._seen[data.seq] = None
        self._highest = max(self._highest, data.seq)
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._tell_time(data.uptime_ms, now_ns, mono_ns)
        values = tuple(_value(data.values[i]) for i in self._indices)
        quality = tuple(int(Quality.MISSING) if v is None else 0 for v in values)
        source_ns = int(self._offset_ns or 0) + data.uptime_ms * 1_000_000
        return Taken(
            Sample(self._spec, now_ns, values, source_ns, quality if any(quality) else None),
            acknowledge=True,
        )


def _value(number: Number) -> float | None:
    return None if number is None else float(number)


def spec_of(config: McuConfig) -> DeviceSpec:
    """The device as it is announced, before anything was heard of it."""
    channels = tuple(
        Channel(c.quantity or c.sensor, c.unit, "f", c.scale, c.offset) for c in config.channels
    )
    window = SourceWindow(config.max_past_s)
    return DeviceSpec(
        config.device, config.measurement, channels, config.period_s, window, config.model
    )
