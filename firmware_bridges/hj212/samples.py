"""A message as samples of its station: one row at its time, one more for each time a factor was sampled at."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files

import msgspec

from firmware_bridges.hj212.segment import Segment
from tocsin.contract import catalogue, units
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality, worst
from tocsin.sdk import Channel, DeviceSpec, Sample

PERIODS_S = {"2051": 600, "2061": 3600, "2031": 86_400}
_PARTS = {"Rtd": "", "Avg": "_avg", "Min": "_min", "Max": "_max", "Cou": "_cou"}
_FIXED = (
    Channel("period", "s", "i"),
    Channel("alarm", "1", "s"),
    Channel("extras", "1", "s"),
)
_ALARM = -2
# HJ 212-2017, 6.6.4: what the flag of a value says.
_QUALITY = {
    "N": Quality.GOOD,
    "F": Quality.DEVICE_FAULT,
    "M": Quality.BAD,
    "S": Quality.SUBSTITUTED,
    "D": Quality.DEVICE_FAULT,
    "C": Quality.BAD,
    "T": Quality.RANGE,
    "B": Quality.COMMS,
}
_MISSING = {"", "-", "--", "NA", "NAN", "NULL", "NONE"}
_OWN_FIELDS = {"DataTime", "AlarmTime", "QN"}


class Factor(msgspec.Struct, frozen=True):
    """What a code stands for."""

    quantity: str
    unit: str = "1"


@cache
def standard() -> dict[str, dict[str, Factor]]:
    """The factors of each kind of station, by code."""
    raw = tomllib.loads(files(__package__).joinpath("factors.toml").read_text("utf-8"))
    return msgspec.convert(raw, dict[str, dict[str, Factor]])


class Plan:
    """Which channel a value goes to. What has none goes to `extras` as `a21026-ZsRtd=12.1`."""

    def __init__(self, measurement: str, named: Mapping[str, Factor] | None = None) -> None:
        chosen = {**standard().get(measurement, {}), **(named or {})}
        channels: dict[str, Channel] = {}
        self._of: dict[tuple[str, str], str] = {}
        self._scales: dict[tuple[str, str], float] = {}
        for code, factor in chosen.items():
            for part, suffix in _PARTS.items():
                name = factor.quantity + suffix
                made = _channel(measurement, factor, name, part)
                first = channels.setdefault(name, made)
                self._of[code, part] = name
                if made != first:
                    ratio = _scale(measurement, made) / _scale(measurement, first)
                    self._scales[code, part] = ratio
        self.channels = (*channels.values(), *_FIXED)
        self._index = {c.quantity: i for i, c in enumerate(self.channels)}

    def rows(
        self, spec: DeviceSpec, told: Segment, ts_ns: int, zone: timezone, doubt: int = 0
    ) -> list[Sample]:
        """Every row, oldest first; `doubt` is the least quality of every value."""
        told_at = told.fields.get("DataTime") or told.fields.get("AlarmTime") or told.qn
        at = time_of(told_at)
        made = _Rows(len(self.channels), doubt)
        period = PERIODS_S.get(told.head.get("CN", ""))
        for code, parts in told.factors.items():
            sampled = time_of(parts.get("SampleTime", "")) or at
            flag = quality_of(parts.get("Flag"))
            for part, text in parts.items():
                if part == "Ala":
                    made.add(at, _ALARM, f"{code}={text}")
                elif part not in ("Flag", "SampleTime"):
                    self._value(made, sampled, (code, part), text, flag)
        for name, text in told.fields.items():
            if name == "AlarmType":
                made.add(at, _ALARM, f"{name}={text}")
            elif name not in _OWN_FIELDS:
                made.add(at, -1, f"{name}={text}")
        if period is not None:
            made.everywhere(self._index["period"], period)
        return list(made.samples(spec, ts_ns, zone))

    def _value(
        self, made: _Rows, at: datetime | None, key: tuple[str, str], text: str, flag: int
    ) -> None:
        name = self._of.get(key)
        value = number(text)
        if name is None or (value is None and text.strip().upper() not in _MISSING):
            made.add(at, -1, f"{key[0]}-{key[1]}={text}")
        if name is None:
            return
        if value is None:
            known = text.strip().upper() in _MISSING
            flag = worst(Quality.MISSING if known else Quality.BAD, flag)
        else:
            value *= self._scales.get(key, 1.0)
        made.put(at, self._index[name], value, flag)


class _Rows:
    def __init__(self, width: int, doubt: int) -> None:
        self._width, self._doubt = width, doubt
        self._rows: dict[datetime | None, tuple[dict[int, Value], dict[int, int]]] = {}

    def put(self, at: datetime | None, index: int, value: Value, quality: int = 0) -> None:
        values, marks = self._rows.setdefault(at, ({}, {}))
        values[index] = value
        marks[index] = worst(quality, self._doubt)

    def add(self, at: datetime | None, index: int, text: str) -> None:
        """More text for a channel counted from the end."""
        index += self._width
        before = self._rows.get(at, ({}, {}))[0].get(index)
        self.put(at, index, f"{before} {text}" if before else text)

    def everywhere(self, index: int, value: Value) -> None:
        for at in self._rows:
            self.put(at, index, value)

    def samples(self, spec: DeviceSpec, ts_ns: int, zone: timezone) -> Iterator[Sample]:
        for at in sorted(self._rows, key=lambda t: t or datetime.max):  # noqa: DTZ901 - only compared
            values, marks = self._rows[at]
            quality = tuple(marks.get(i, 0) for i in range(self._width))
            yield Sample(
                spec,
                ts_ns,
                tuple(values.get(i) for i in range(self._width)),
                None if at is None else int(at.replace(tzinfo=zone).timestamp()) * 1_000_000_000,
                quality if any(quality) else None,
            )


def _channel(measurement: str, factor: Factor, name: str, part: str) -> Channel:
    """In the canonical unit of its quantity where there is one, so that averages compare with values."""
    if part == "Cou":
        return Channel(name, "m3" if factor.quantity == "flow" else "kg")
    known = catalogue.find(measurement, factor.quantity)
    if part == "Rtd" or known is None:
        return Channel(name, factor.unit)
    linear = units.conversion(factor.unit, known.unit)
    return Channel(name, known.unit, scale=linear.scale, offset=linear.offset)


def _scale(measurement: str, channel: Channel) -> float:
    """What its numbers are multiplied by on their way to the store."""
    known = catalogue.find(measurement, channel.quantity)
    return channel.scale * (units.conversion(channel.unit, known.unit).scale if known else 1.0)


def quality_of(flag: str | None) -> int:
    """The quality a flag means; 0 without one."""
    if flag is None or not flag.strip():
        return 0
    return int(_QUALITY.get(flag.strip().upper(), Quality.UNKNOWN_CODE))


def number(text: str) -> float | None:
    """A decimal number; None for anything else, what is no finite number included."""
    text = text.strip()
    if not text.isascii() or not text or len(text) > 30 or set(text) - set("0123456789+-.eE"):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def time_of(text: str) -> datetime | None:
    """14 digits, or 17 with milliseconds; the milliseconds are not kept."""
    if len(text) not in (14, 17) or not (text.isascii() and text.isdigit()):
        return None
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S")  # noqa: DTZ007 - its zone is not told
    except ValueError:
        return None
