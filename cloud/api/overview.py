"""What a person wants to know of every device, put together from registry, last values and alarms. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal, cast

from cloud.api.rows import Row, flag, number, row_of, text, whole
from cloud.registry import Device
from tocsin.contract.catalogue import catalogue
from tocsin.contract.quality import Severity, severity

State = Literal["ok", "stale", "unavailable", "never", "retired"]
Word = Literal["good", "uncertain", "bad"]
Calibration = Literal["", "soon", "overdue"]
WORDS: dict[Severity, Word] = {
    Severity.GOOD: "good",
    Severity.UNCERTAIN: "uncertain",
    Severity.BAD: "bad",
}
SILENT_PERIODS = 5
SILENT_MIN_S = 10.0
CALIBRATION_SOON = timedelta(days=14)


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
    alarm_level: int = 0  # of an active alarm of this very quantity; 0: none
    known_ns: int | None = None  # when there was a value last


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
    last_ns: int | None  # when a value was measured last: rows without one are no sign of life
    heard_ns: int  # when a value or the gateway's word that the device answers came last
    alarm_level: int  # 0: none
    unacknowledged: bool
    values: list[ValueView] = field(default_factory=list)
    calibration_due: date | None = None
    calibration: Calibration = ""
    answered_ns: int | None = None  # when it gave a value last, of one that is unavailable
    last_error: str = ""  # why it is
    last_reason: str = ""  # the same as a word of `DriverReason`; older gateways tell none

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
    kind = device.kind if device else text(told, "measurement") or text(told, "kind")
    levels = _levels(alarms)
    values = _in_order(
        kind, (replace(v, alarm_level=levels.get(v.quantity, 0)) for v in map(_value, rows))
    )
    worn = device.current if device else None
    due = worn.calibration_due if worn else None
    last_ns = max((v.known_ns for v in values if v.known_ns), default=None)
    heard_ns = max((v.received_ns for v in values), default=0)
    if (
        heard_ns and text(told, "state") == "ok"
    ):  # within its dead-band nothing is sent, yet it answers
        heard_ns = max(heard_ns, min(whole(row_of(told.get("health")), "last_ok_ns"), now_ns))
    limit_s = stale_after_s(period)
    state = _state(device, text(told, "state"), heard_ns, limit_s, now_ns)
    lost = state == "unavailable"
    return DeviceView(
        site=key[0],
        device=key[1],
        name=device.name if device else key[1],
        kind=kind,
        place=device.place if device else "",
        lat=device.lat if device else None,
        lon=device.lon if device else None,
        gateway=text(told, "gateway") or (device.gateway if device else ""),
        period_s=period,
        stale_after_s=limit_s,
        state=state,
        last_ns=last_ns,
        heard_ns=heard_ns,
        alarm_level=max((whole(a, "level") or 1 for a in alarms), default=0),
        unacknowledged=any(not flag(a, "acknowledged") for a in alarms),
        values=values,
        calibration_due=due,
        calibration=calibration(due, now_ns),
        answered_ns=(whole(row_of(told.get("health")), "last_ok_ns") or None) if lost else None,
        last_error=text(told, "last_error") if lost else "",
        last_reason=text(told, "last_reason") if lost else "",
    )


def calibration(due: date | None, now_ns: int) -> Calibration:
    """Whether an instrument's calibration has run out, or does within 14 days. Days of UTC."""
    if due is None:
        return ""
    today = datetime.fromtimestamp(now_ns // 10**9, UTC).date()
    return "overdue" if due < today else "soon" if due - today <= CALIBRATION_SOON else ""


def _levels(alarms: Iterable[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for alarm in alarms:
        quantity = text(alarm, "quantity")
        found[quantity] = max(found.get(quantity, 0), whole(alarm, "level") or 1)
    return found


def _in_order(kind: str, values: Iterable[ValueView]) -> list[ValueView]:
    """As the catalogue lists them, so that people find each number in the same place; unknown ones last."""
    known = list(catalogue()[kind].quantities) if kind in catalogue() else []
    place = {quantity: n for n, quantity in enumerate(known)}
    return sorted(values, key=lambda v: (place.get(v.quantity, len(place)), v.quantity))


def _state(device: Device | None, told: str, heard_ns: int, limit_s: float, now_ns: int) -> State:
    if device and device.retired:
        return "retired"
    if told == "unavailable":
        return "unavailable"
    if not heard_ns:
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
        known_ns=whole(row, "time_ns" if value is not None else "known_ns") or None,
    )
