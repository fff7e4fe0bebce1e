"""What a person wants to know of every device, put together from registry, last values and alarms. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from cloud.api.rows import Row, flag, number, text, whole
from cloud.registry import Device
from tocsin.contract.quality import Severity, severity

State = Literal["ok", "stale", "unavailable", "never", "retired"]
Word = Literal["good", "uncertain", "bad"]
WORDS: dict[Severity, Word] = {
    Severity.GOOD: "good",
    Severity.UNCERTAIN: "uncertain",
    Severity.BAD: "bad",
}
SILENT_PERIODS = 5
SILENT_MIN_S = 10.0


@dataclass(frozen=True, slots=True)
class ValueView:
    """The last value of one quantity, in its canonical unit. Times are Unix ns UTC."""

    quantity: str
    unit: str
    value: float | int | bool | str | None
    q: int
    quality: Word
    time_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device as a list shows it. `age` is the reader's affair: it has `last_ns` and its own clock."""

    site: str
    device: str
    name: str
    kind: str
    place: str
    lat: float | None
    lon: float | None
    gateway: str
    period_s: float | None
    stale_after_s: float
    state: State
    last_ns: int | None
    alarm_level: int  # 0: none
    unacknowledged: bool
    values: list[ValueView] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Unique among all sites."""
        return f"{self.site}/{self.device}"


def stale_after_s(period_s: float | None) -> float:
    """How old a value may be before it is called stale: five periods, at least 10 s."""
    return max(SILENT_PERIODS * (period_s or 0.0), SILENT_MIN_S)


def device_views(
    registry: Iterable[Device],
    states: Iterable[Row],
    last: Iterable[Row],
    alarms: Iterable[Row],
    now_ns: int,
) -> list[DeviceView]:
    """Every device, worst first: alarms, then trouble, then the rest by name."""
    known = {(d.site, d.device): d for d in registry}
    told = {(text(s, "site"), text(s, "device")): s for s in states}
    values: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in last:
        values[text(row, "site"), text(row, "device")].append(row)
    raised: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for alarm in alarms:
        raised[text(alarm, "site"), text(alarm, "device")].append(alarm)
    keys = sorted(known.keys() | told.keys() | values.keys())
    views = [
        _view(k, known.get(k), told.get(k, {}), values[k], raised[k], now_ns) for k in keys if k[1]
    ]
    return sorted(views, key=rank)


def rank(view: DeviceView) -> tuple[int, int, int, str]:
    """Sort key: worst first."""
    trouble = {"unavailable": 0, "stale": 0, "never": 1, "ok": 2, "retired": 3}[view.state]
    worst = min((0 if v.quality == "bad" else 1 for v in view.values), default=1)
    return (-view.alarm_level, trouble, worst, view.key)


def _view(
    key: tuple[str, str],
    device: Device | None,
    told: Row,
    rows: list[Row],
    alarms: list[Row],
    now_ns: int,
) -> DeviceView:
    period = device.period_s if device and device.period_s else number(told, "period_s")
    values = sorted((_value(r) for r in rows), key=lambda v: v.quantity)
    last_ns = max((v.time_ns for v in values), default=None)
    heard_ns = max((v.received_ns for v in values), default=None)
    limit_s = stale_after_s(period)
    return DeviceView(
        site=key[0],
        device=key[1],
        name=device.name if device else key[1],
        kind=device.kind if device else text(told, "measurement") or text(told, "kind"),
        place=device.place if device else "",
        lat=device.lat if device else None,
        lon=device.lon if device else None,
        gateway=text(told, "gateway") or (device.gateway if device else ""),
        period_s=period,
        stale_after_s=limit_s,
        state=_state(device, text(told, "state"), heard_ns, limit_s, now_ns),
        last_ns=last_ns,
        alarm_level=max((whole(a, "level") or 1 for a in alarms), default=0),
        unacknowledged=any(not flag(a, "acknowledged") for a in alarms),
        values=values,
    )


def _state(
    device: Device | None, told: str, heard_ns: int | None, limit_s: float, now_ns: int
) -> State:
    if device and device.retired:
        return "retired"
    if told == "unavailable":
        return "unavailable"
    if heard_ns is None:
        return "never"
    return "stale" if now_ns - heard_ns > limit_s * 1e9 else "ok"


def _value(row: Row) -> ValueView:
    q = whole(row, "q")
    value = cast("Mapping[str, float | int | bool | str | None]", row).get("value")
    return ValueView(
        quantity=text(row, "quantity"),
        unit=text(row, "unit"),
        value=value,
        q=q,
        quality=WORDS[severity(q)],
        time_ns=whole(row, "time_ns"),
        received_ns=whole(row, "received_ns") or whole(row, "time_ns"),
    )
