"""Which shipped profiles fit a unit: every register they want is there, and every value is one that can be. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from edge.drivers.modbus.plan import Block
from edge.drivers.modbus.scan import Scan
from edge.pipeline.convert import Scale
from firmware_bridges.modbus.profile import Profile
from tocsin.contract.catalogue import Value
from tocsin.contract.units import Linear

_SMALLEST = 1e-6  # what is smaller and not 0 is nearly always something else read as a float
# What a number of each unit can be at an instrument of a city; elsewhere any number is taken.
_RANGES = {
    "%{vol}": (0.0, 35.0),
    "%{LEL}": (0.0, 100.0),
    "%": (0.0, 100.0),
    "[ppm]": (0.0, 20_000.0),
    "Cel": (-60.0, 200.0),
    "mm": (0.0, 100_000.0),
    "mm/h": (0.0, 500.0),
    "m": (-100.0, 9_000.0),
    "m/s": (-20.0, 100.0),
    "m3/s": (-1_000.0, 200_000.0),
    "V": (0.0, 1_000.0),
    "A": (-10_000.0, 10_000.0),
    "Hz": (40.0, 70.0),
    "mA": (0.0, 25.0),
    "hPa": (500.0, 1_200.0),
}


class Fit(msgspec.Struct, frozen=True):
    """A profile that fits, with what it reads."""

    profile: str
    values: dict[str, Value]
    units: dict[str, str]
    kind: str = ""

    @property
    def told(self) -> str:
        """For people."""
        pairs = (
            f"{name} {_number(value)} {self.units[name]}".strip()
            for name, value in self.values.items()
        )
        return ", ".join(pairs)


def fit(profile: Profile, bodies: Mapping[Block, bytes | None]) -> Fit | None:
    """The fit of a profile to the answers to its blocks, or None."""
    scan = Scan(profile)
    found = [bodies.get(block) for block in scan.blocks]
    if any(
        body is None or len(body) != block.answer_bytes
        for body, block in zip(found, scan.blocks, strict=True)
    ):
        return None
    numbers, _ = scan.decode(found)
    values: dict[str, Value] = {}
    for channel, number in zip(scan.channels, numbers, strict=True):
        value = number
        if isinstance(number, float):
            value = Scale(Linear(channel.scale, channel.offset))(number)
            if not _plausible(value, channel.unit):
                return None
        values[channel.quantity] = value
    if not any(value for value in values.values()):
        return None  # registers that are all 0 fit everything
    units = {c.quantity: "" if c.unit == "1" else c.unit for c in scan.channels}
    return Fit(profile.profile.name, values, units, profile.profile.measurement)


def rank(fits: list[Fit]) -> list[Fit]:
    """The most telling first: most quantities that are there, then most that are not 0."""

    def weight(one: Fit) -> tuple[int, int]:
        there = [v for v in one.values.values() if v is not None]
        return -len(there), -sum(1 for v in there if v)

    return sorted(fits, key=weight)


def _plausible(value: float, unit: str) -> bool:
    low, high = _RANGES.get(unit, (-1e9, 1e9))
    return math.isfinite(value) and low <= value <= high and (value == 0 or abs(value) >= _SMALLEST)


def _number(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
