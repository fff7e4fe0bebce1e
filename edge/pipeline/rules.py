"""What the pipeline judges by, in canonical units and nanoseconds."""

from __future__ import annotations

from typing import Literal

import msgspec


class CheckRule(msgspec.Struct, frozen=True):
    """Quality rules and dead-band of one quantity of one device; None switches a rule off."""

    device: str
    quantity: str
    low: float | None = None
    high: float | None = None
    rate_per_s: float | None = None
    flatline_ns: int | None = None
    stale_ns: int | None = None
    deadband: float | None = None
    deadband_max_ns: int = 60_000_000_000


class AlarmRule(msgspec.Struct, frozen=True):
    """Two limits of one quantity. `high`: at or above is beyond; `low`: at or below."""

    device: str
    quantity: str
    name: str
    level1: float
    level2: float | None = None
    direction: Literal["high", "low"] = "high"
    hysteresis: float = 0.0
    on_delay_ns: int = 0
    latch: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """(device, rule name), unique in a gateway."""
        return self.device, self.name

    def limit(self, level: int) -> float:
        """The limit of level 1 or 2."""
        return self.level2 if level >= 2 and self.level2 is not None else self.level1

    def zone(self, value: float) -> int:
        """0 inside, 1 or 2 beyond that limit."""
        sign = 1.0 if self.direction == "high" else -1.0
        if self.level2 is not None and sign * (value - self.level2) >= 0:
            return 2
        return 1 if sign * (value - self.level1) >= 0 else 0

    def held(self, zone: int, value: float) -> int:
        """The zone `value` leaves an alarm of `zone` in: hysteresis holds it until the value is that far back."""
        sign = 1.0 if self.direction == "high" else -1.0
        while zone:
            limit = self.limit(zone)
            clear = limit - sign * self.hysteresis
            if sign * value > sign * clear or value == limit:
                break
            zone -= 1
        return zone


class VehicleRule(msgspec.Struct, frozen=True):
    """What a vehicle can do. `mismatch_m_s`: most that reported and travelled speed may differ over `mismatch_dt_s`."""

    max_speed_m_s: float = 70.0
    mismatch_m_s: float = 25.0
    mismatch_dt_s: float = 10.0
    confirm: int = 3  # so many fixes that agree with one another replace the believed position
