"""Positions a vehicle cannot have reached, and values without a fix."""

from __future__ import annotations

from math import asin, cos, hypot, radians, sin

import msgspec

from edge.pipeline.rules import VehicleRule
from tocsin.contract.catalogue import Value
from tocsin.contract.columns import Layout
from tocsin.contract.quality import Quality, worst

_EARTH_M = 6_371_008.8  # mean radius, IUGG
_POSITION = ("lat", "lon", "alt", "speed", "course")


class Fix(msgspec.Struct, frozen=True):
    """A position on the row's time axis."""

    axis_ns: int
    from_source: bool
    lat: float
    lon: float
    speed: float | None


def distance_m(a: Fix, b: Fix) -> float:
    """Great-circle distance (haversine)."""
    p, q = radians(a.lat), radians(b.lat)
    half = hypot(sin((q - p) / 2), (cos(p) * cos(q)) ** 0.5 * sin(radians(b.lon - a.lon) / 2))
    return 2 * _EARTH_M * asin(min(1.0, half))


def jumps(rule: VehicleRule, before: Fix, now: Fix) -> bool:
    """Whether no vehicle moves so: too fast, or travelled and reported speed contradict one another."""
    if now.speed is not None and now.speed > rule.max_speed_m_s:
        return True
    seconds = (now.axis_ns - before.axis_ns) / 1e9
    if seconds <= 0 or now.from_source != before.from_source:
        return False
    travelled = distance_m(before, now) / seconds
    if travelled > rule.max_speed_m_s:
        return True
    if now.speed is None or before.speed is None or seconds > rule.mismatch_dt_s:
        return False
    slow, fast = sorted((before.speed, now.speed))
    return (
        travelled - fast > rule.mismatch_m_s
        or slow - travelled > rule.mismatch_m_s
        or (now.speed - max(travelled, before.speed) > rule.mismatch_m_s)
    )


class VehicleJudge:
    """Remembers the last believed fix of one vehicle. A few fixes that agree with one another replace it."""

    __slots__ = ("_agreeing", "_believed", "_fix", "_index", "_latest", "_rule")

    def __init__(self, layout: Layout, rule: VehicleRule) -> None:
        self._index = {
            name: layout.quantities.index(name) for name in _POSITION if name in layout.quantities
        }
        self._fix = layout.quantities.index("fix") if "fix" in layout.quantities else None
        self._rule = rule
        self._believed: Fix | None = None
        self._latest: Fix | None = None
        self._agreeing = 0

    def judge(
        self, values: list[Value], quality: list[int], axis_ns: int, *, from_source: bool
    ) -> None:
        """Mark `quality` in place; a position of exactly 0, 0 without a fix becomes absent."""
        lat, lon = self._number(values, "lat"), self._number(values, "lon")
        state = values[self._fix] if self._fix is not None else None
        if (isinstance(state, int) and state < 2) or (lat == 0.0 and lon == 0.0):
            self._no_fix(values, quality, nowhere=lat == 0.0 and lon == 0.0)
            return
        if lat is None or lon is None or not (abs(lat) <= 90 and abs(lon) <= 180):
            return
        now = Fix(axis_ns, from_source, lat, lon, self._number(values, "speed"))
        if not self._accept(now):
            for name in ("lat", "lon", "speed"):
                i = self._index.get(name)
                if i is not None and values[i] is not None:
                    quality[i] = worst(quality[i], Quality.JUMP)

    def _accept(self, now: Fix) -> bool:
        before, self._latest = self._latest, now
        if now.speed is not None and now.speed > self._rule.max_speed_m_s:
            self._agreeing = 0
            return False
        if self._believed is None or not jumps(self._rule, self._believed, now):
            self._believed, self._agreeing = now, 0
            return True
        agrees = before is not None and not jumps(self._rule, before, now)
        self._agreeing = self._agreeing + 1 if agrees else 0
        if self._agreeing >= self._rule.confirm:
            self._believed, self._agreeing = now, 0
            return True
        return False

    def _no_fix(self, values: list[Value], quality: list[int], *, nowhere: bool) -> None:
        for name, i in self._index.items():
            if nowhere and name in ("lat", "lon"):
                values[i] = None
            if values[i] is not None or (nowhere and name in ("lat", "lon")):
                quality[i] = worst(quality[i], Quality.NO_FIX)

    def _number(self, values: list[Value], name: str) -> float | None:
        i = self._index.get(name)
        value = values[i] if i is not None else None
        return float(value) if isinstance(value, int | float) else None
