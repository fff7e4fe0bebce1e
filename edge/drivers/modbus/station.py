"""One device on a line: what it is asked, when it is due, and how it has fared."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from edge.drivers.modbus.config import ModbusConfig, ModbusDevice
from edge.drivers.modbus.plan import sync_block
from edge.drivers.modbus.scan import Scan
from tocsin.sdk import DeviceSpec

NS = 1_000_000_000
DEAD_SHARE = 10  # devices that do not answer get a tenth of the line's time
QUICK_FACTOR = 4.0  # a dead device is given so many times the longest answer it ever took
QUICK_MIN_S = 0.1
FULL_EVERY = 4  # every so many tries of a dead device have the full time-out


class Station:
    """Mutable state of one device."""

    def __init__(self, config: ModbusConfig, device: ModbusDevice) -> None:
        self.device = device
        profile = device.effective_profile()
        self.scan = Scan(profile)
        self.sync = sync_block(profile, self.scan.blocks)
        self.timeout_s = device.timeout_s or config.timeout_s
        self.period_ns = int(device.period_s * NS)
        self.spec = DeviceSpec(
            id=device.id,
            measurement=profile.profile.measurement,
            channels=self.scan.channels,
            period_s=device.period_s,
            model=profile.profile.model or profile.profile.title,
        )
        self.due_ns = 0
        self.tried = False
        self.failures = 0
        self.unsure = False  # an answer to a request that was given up may still come
        self._backoff_max_s = config.backoff_max_s
        self._longest_s = 0.0

    @property
    def well(self) -> bool:
        """Whether its last read succeeded."""
        return self.tried and not self.failures

    @property
    def patience_s(self) -> float:
        """How long to wait for its answer now."""
        dead = self.failures > 1 and self._longest_s > 0 and self.failures % FULL_EVERY
        if not dead:
            return self.timeout_s
        return min(self.timeout_s, max(QUICK_MIN_S, QUICK_FACTOR * self._longest_s))

    def succeeded(self, started_ns: int, now_ns: int) -> int:
        """Notes a read and sets the next one on the grid of its period; returns how many were missed."""
        self._longest_s = max(self._longest_s, (now_ns - started_ns) / NS)
        fresh = not self.well
        self.tried, self.failures, self.unsure = True, 0, False
        if fresh:
            self.due_ns = started_ns
        missed = (now_ns - self.due_ns) // self.period_ns
        self.due_ns += (missed + 1) * self.period_ns
        return int(missed)

    def failed(self, now_ns: int, random: Random, *, unsure: bool) -> None:
        """Notes a failed read and sets the next try: doubling, with jitter, capped."""
        self.tried = True
        self.unsure = self.unsure or unsure
        self.failures += 1
        pause_s = min(self._backoff_max_s, self.device.period_s * 2.0 ** min(self.failures - 1, 16))
        self.due_ns = now_ns + int(pause_s * random.uniform(0.8, 1.2) * NS)


class Rota:
    """Whose turn it is. Devices that are well go first; the others never take more than their share."""

    def __init__(self, stations: Sequence[Station], now_ns: int) -> None:
        self._stations = stations
        self._dead_from_ns = 0
        self._dead_had_turn = False
        for station in stations:
            station.due_ns = now_ns

    def next(self, now_ns: int) -> tuple[Station, int]:
        """(station, when it may be read); the time is past or now if its turn has come."""
        well = min((s for s in self._stations if s.well), key=_due, default=None)
        rest = [s for s in self._stations if not s.well]
        other = min(rest, key=self._due_with_share, default=None)
        if other is None or (well is not None and well.due_ns <= now_ns and self._dead_had_turn):
            if well is None:
                raise ValueError("no stations")
            return well, well.due_ns
        other_ns = self._due_with_share(other)
        if well is not None and (other_ns > now_ns) and well.due_ns <= other_ns:
            return well, well.due_ns
        return other, other_ns

    def _due_with_share(self, station: Station) -> int:
        return max(station.due_ns, self._dead_from_ns) if station.tried else station.due_ns

    def took(self, station: Station, started_ns: int, now_ns: int) -> None:
        """A turn is over; `station` has noted how it went."""
        self._dead_had_turn = not station.well
        if not station.well:
            self._dead_from_ns = now_ns + (DEAD_SHARE - 1) * (now_ns - started_ns)


def _due(station: Station) -> int:
    return station.due_ns
