"""A made-up patrol loop near 22.54 N 114.05 E for the virtual receiver: closed, with rounded corners."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate, pairwise

from firmware_bridges.nmea.encode import Position

_CORNERS = (
    (22.5431, 114.0503),
    (22.5433, 114.0568),
    (22.5462, 114.0571),
    (22.5460, 114.0622),
    (22.5405, 114.0626),
    (22.5388, 114.0597),
    (22.5389, 114.0538),
    (22.5402, 114.0509),
)
_M_PER_DEG_LAT = 111_195.0
_CRUISE_MPS, _SWING_MPS, _SWING_S = 10.0, 4.0, 45.0

Point = tuple[float, float]


def _cut_corners(points: list[Point]) -> list[Point]:
    out: list[Point] = []
    for (a, b), (c, d) in pairwise([*points, points[0]]):
        out.append((a + (c - a) / 4, b + (d - b) / 4))
        out.append((a + (c - a) * 3 / 4, b + (d - b) * 3 / 4))
    return out


def _metres(a: Point, b: Point) -> tuple[float, float]:
    """North and east of `b` seen from `a`; flat earth, good to millimetres on this loop."""
    east = (b[1] - a[1]) * _M_PER_DEG_LAT * math.cos(math.radians((a[0] + b[0]) / 2))
    return (b[0] - a[0]) * _M_PER_DEG_LAT, east


class Loop:
    """The loop as position over time; speed swings between 6 and 14 m/s."""

    def __init__(self, corners: tuple[Point, ...] = _CORNERS) -> None:
        points = list(corners)
        for _ in range(4):
            points = _cut_corners(points)
        self._points = [*points, points[0]]
        lengths = [math.hypot(*_metres(a, b)) for a, b in pairwise(self._points)]
        self._starts = [0.0, *accumulate(lengths)]

    @property
    def length_m(self) -> float:
        """Once round."""
        return self._starts[-1]

    def at(self, elapsed_s: float) -> Position:
        """Where the vehicle is `elapsed_s` after it left."""
        phase = 2 * math.pi * elapsed_s / _SWING_S
        way = _CRUISE_MPS * elapsed_s + _SWING_MPS * _SWING_S / (2 * math.pi) * (
            1 - math.cos(phase)
        )
        along = way % self.length_m
        i = min(bisect_right(self._starts, along), len(self._points) - 1) - 1
        a, b = self._points[i], self._points[i + 1]
        share = (along - self._starts[i]) / (self._starts[i + 1] - self._starts[i])
        north, east = _metres(a, b)
        return Position(
            lat=a[0] + (b[0] - a[0]) * share,
            lon=a[1] + (b[1] - a[1]) * share,
            alt=14.0 + 6.0 * math.sin(2 * math.pi * along / self.length_m),
            speed=_CRUISE_MPS + _SWING_MPS * math.sin(phase),
            course=math.degrees(math.atan2(east, north)) % 360.0,
        )
