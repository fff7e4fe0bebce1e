"""A report as samples of its station: one row at the time of observation, one per slot of an array or series."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from firmware_bridges.sl651.body import Body, step_minutes
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, Sample

Slots = Literal["auto", "first", "last", "clock-hour"]
_STATUS, _TEXT, _EXTRAS = "45", "F2", "extras"
# Bits of the state and alarm word (45); a door that is shut is 1.
_BITS = {
    "mains_failed": 0,
    "battery_low": 1,
    "level_alarm": 2,
    "flow_alarm": 3,
    "quality_alarm": 4,
    "flow_gauge_fault": 5,
    "level_gauge_fault": 6,
    "door_open": 7,
    "memory_fault": 8,
}
_SHUT = 7
_GAUGES = {5: ("flow", "velocity", "velocity_mean"), 6: ("level", "level_up", "level_down")}
_SLOT_MINUTES, _SLACK = 5, timedelta(minutes=5)


class Element(msgspec.Struct, frozen=True):
    """What an identifier stands for."""

    quantity: str
    unit: str = "1"


@cache
def standard() -> tuple[dict[str, Element], dict[str, Element]]:
    """The elements every station has, and those a configuration may name, by identifier."""
    raw = tomllib.loads(files(__package__).joinpath("elements.toml").read_text("utf-8"))
    return (
        msgspec.convert(raw["always"], dict[str, Element]),
        msgspec.convert(raw["named"], dict[str, Element]),
    )


class Plan:
    """Which channel an element goes to. What has none goes to `extras` as `FF33=20.5 30=43.0`."""

    def __init__(self, named: Mapping[str, Element] | None = None) -> None:
        always, _ = standard()
        chosen = {**always, **(named or {})}
        by_quantity = {e.quantity: Channel(e.quantity, e.unit) for e in chosen.values()}
        bits = (Channel(name, "1", "b") for name in _BITS)
        fixed = (Channel("status", "1", "i"), Channel("text", "1", "s"), Channel(_EXTRAS, "1", "s"))
        self.channels = (*by_quantity.values(), *bits, *fixed)
        self._index = {c.quantity: i for i, c in enumerate(self.channels)}
        self._of = {code: self._index[e.quantity] for code, e in chosen.items()}
        self._of |= {_STATUS: self._index["status"], _TEXT: self._index["text"]}

    def index(self, code: str) -> int | None:
        """The channel of an element."""
        return self._of.get(code)

    def states(self, word: int) -> Iterator[tuple[int, bool]]:
        """What the state and alarm word says, by channel."""
        for name, bit in _BITS.items():
            yield self._index[name], bool(word >> bit & 1) is not (bit == _SHUT)

    def faulty(self, word: int) -> frozenset[int]:
        """The channels whose gauge is at fault by the word."""
        names = [n for bit, some in _GAUGES.items() if word >> bit & 1 for n in some]
        return frozenset(self._index[name] for name in names)

    def rows(
        self, spec: DeviceSpec, body: Body, ts_ns: int, zone: timezone, slots: Slots = "auto"
    ) -> list[Sample]:
        """Every row, oldest first. A row without a time of its own has the gateway's."""
        made = _Rows(self, _time(body.obs_time))
        step = timedelta()
        sent = _time(body.send_time) or made.observed
        for element in body.elements or ():
            code = element["id"]
            if "rain_5min_mm" in element or "level_5min_m" in element:
                values = element.get("rain_5min_mm") or element["level_5min_m"]
                code = "22" if "rain_5min_mm" in element else code
                every = timedelta(minutes=_SLOT_MINUTES)
                made.series(code, values, _times(made.observed, sent, every, len(values), slots))
            elif "values" in element:
                values = element["values"]
                rule: Slots = "auto" if slots == "clock-hour" else slots
                made.series(code, values, _times(made.observed, sent, step, len(values), rule))
            elif "value" in element:
                if code == "04":
                    step = timedelta(minutes=step_minutes(element["hex"]))
                else:
                    made.put(made.observed, code, element["value"])
            elif code == _STATUS:
                made.state(int(element["status_alarm"] or "0", 16))
            elif code == _TEXT:
                text = bytes.fromhex(element["hex"]).decode("gb18030", "replace")
                made.put(made.observed, code, text)
            elif code is None:
                made.beside(f"?={element['hex']}")
        if body.elements is None:
            made.beside(f"?={body.rest or ''}")
        return list(made.samples(spec, ts_ns, zone))


class _Rows:
    def __init__(self, plan: Plan, observed: datetime | None) -> None:
        self._plan, self.observed = plan, observed
        self._rows: dict[datetime | None, dict[int, Value]] = {}
        self._extras: list[str] = []
        self._faulty: frozenset[int] = frozenset()

    def state(self, word: int) -> None:
        self.put(self.observed, _STATUS, word)
        self._rows[self.observed].update(self._plan.states(word))
        self._faulty = self._plan.faulty(word)

    def put(self, at: datetime | None, code: str, value: Value) -> None:
        index = self._plan.index(code)
        if index is None:
            self.beside(f"{code}={'' if value is None else value}")
        else:
            self._rows.setdefault(at, {}).setdefault(index, value)

    def beside(self, text: str) -> None:
        self._extras.append(text)

    def series(
        self, code: str, values: list[float | None], times: list[datetime | None] | None
    ) -> None:
        if self._plan.index(code) is None or times is None:
            told = ",".join("" if v is None else str(v) for v in values)
            self.beside(f"{code}={told}")
            return
        for at, value in zip(times, values, strict=True):
            if at is not None:
                self.put(at, code, value)

    def samples(self, spec: DeviceSpec, ts_ns: int, zone: timezone) -> Iterator[Sample]:
        width = len(self._plan.channels)
        if self._extras:
            last = self._rows.setdefault(self.observed, {})
            last[width - 1] = " ".join(self._extras)
        for at in sorted(self._rows, key=lambda t: t or datetime.max):  # noqa: DTZ901 - only compared
            row = self._rows[at]
            values = tuple(row.get(i) for i in range(width))
            quality = tuple(self._quality(i, row) for i in range(width))
            source_ns = (
                None if at is None else int(at.replace(tzinfo=zone).timestamp()) * 1_000_000_000
            )
            yield Sample(spec, ts_ns, values, source_ns, quality if any(quality) else None)

    def _quality(self, index: int, row: dict[int, Value]) -> int:
        if index not in row:
            return 0
        if row[index] is None:
            return int(Quality.MISSING)
        return int(Quality.DEVICE_FAULT) if index in self._faulty else 0


def _time(told: str | None) -> datetime | None:
    return datetime.fromisoformat(told) if told else None


def _times(
    observed: datetime | None, sent: datetime | None, every: timedelta, count: int, slots: Slots
) -> list[datetime | None] | None:
    """When each value was observed; None in the list for a slot that had not come yet.

    The time of observation is the first value's, unless the last one would then lie after the report was sent:
    then it is the last value's. `clock-hour`: the slots are those of the clock hour the observation lies in.
    """
    if observed is None or sent is None or not every:
        return None
    first = observed
    if slots == "clock-hour":
        first = observed.replace(minute=0)
        at = [first + i * every for i in range(count)]
        return [t if t <= observed else None for t in at]
    span = (count - 1) * every
    if slots == "last" or (slots == "auto" and observed + span > sent + _SLACK):
        first = observed - span
    return [first + i * every for i in range(count)]


def picture(body: Body) -> bool:
    """Whether the report carries a picture."""
    return any(element["id"] == "F3" for element in body.elements or ())


def as_shown(body: Body) -> dict[str, Any]:
    """The values of a report by identifier, for people."""
    return {
        str(e["id"]): e.get("value", e.get("values", e.get("status_alarm", e.get("hex"))))
        for e in body.elements or ()
    }
