"""How warm each place of a thermal camera usually is, as its file keeps it."""

from __future__ import annotations

import math

import msgspec

_HALF = 2  # bytes of a number in half precision


class PackedHour(msgspec.Struct, frozen=True):
    """One hour of the day: mean and spread of each cell, degrees C in half precision."""

    watched_s: float
    mean: bytes
    spread: bytes


class PackedHeat(msgspec.Struct, frozen=True):
    """Hours are those of UTC. One whose numbers do not fit its own shape cannot be made."""

    shape: tuple[int, int]  # rows and columns of cells
    last_ns: int  # when the newest frame in it was taken
    hours: dict[int, PackedHour]

    def __post_init__(self) -> None:
        size = _HALF * self.shape[0] * self.shape[1]
        if min(self.shape) < 1 or not all(0 <= hour < 24 for hour in self.hours):
            raise ValueError("no map of the hours of a day")
        for one in self.hours.values():
            if not len(one.mean) == len(one.spread) == size:
                text = f"{len(one.mean)} and {len(one.spread)} bytes where its shape has {size}"
                raise ValueError(text)
            if not 0 <= one.watched_s < math.inf:
                raise ValueError(f"watched for {one.watched_s} s")
