"""How values, units, times and alarms are printed. Pure; `static/js/show.mjs` follows the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cloud.api.overview import DeviceView
from cloud.api.rows import Row, flag, number, text, whole
from cloud.permits.shown import Stop, stop_of

CAMERA = "vision"  # the measurement of cameras
_UNITS = {
    "[ppm]": "ppm",
    "{dBm}": "dBm",
    "[ppb]": "ppb",
    "%{vol}": "%VOL",
    "%{LEL}": "%LEL",
    "Cel": "°C",
    "m3/s": "m³/s",
    "ug/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "g/m3": "g/m³",
    "uS/cm": "µS/cm",
    "{FNU}": "FNU",
    "deg": "°",
    "kW.h": "kWh",
    "By": "B",
    "1": "",
}


def unit(ucum: str) -> str:
    """A UCUM unit as people write it."""
    return _UNITS.get(ucum, ucum)


def value(told: object, ucum: str = "", quantity: str = "") -> str:
    """A value with the decimals people want; a dash when there is none."""
    if told is None or told == "":
        return "—"
    if isinstance(told, bool):
        return "✓" if told else "✗"
    if isinstance(told, float):
        if ucum == "deg":
            return f"{told:.{5 if quantity in ('lat', 'lon') else 0}f}"
        if ucum == "1" and told.is_integer():
            return f"{told:.0f}"  # a count
        size = abs(told)
        return f"{told:.{0 if size >= 1000 else 1 if size >= 100 else 2}f}"
    return str(told)


def unjudged(device: DeviceView) -> str | None:
    """Why nothing is said of what a camera that answers sees ("": it did not tell); None where something is, and of other devices."""
    values = {v.quantity: v for v in device.values}
    usable, why = values.get("usable"), values.get("unjudged")
    if device.kind != CAMERA or device.state != "ok" or usable is None:
        return None
    if usable.value and usable.quality == "good":
        return None
    return str(why.value) if why is not None and why.value else ""


def age(seconds: float) -> tuple[int, str]:
    """Short: a number and the key of its unit."""
    s = max(int(seconds), 0)
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if s >= 2 * size:
            return s // size, f"live.{name}"
    return s, "live.second"


def stamp(time_ns: int | None) -> str:
    """UTC, to the second; the browser turns it into local time."""
    if not time_ns:
        return "—"
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(time_ns: int) -> str:
    """For <time datetime>."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(n: float) -> str:
    """Bytes, short."""
    for name in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {name}" if name == "B" else f"{n:.1f} {name}"
        n /= 1000
    return f"{n:.1f} TB"


@dataclass(frozen=True, slots=True)
class AlarmView:
    """One alarm as a page shows it."""

    alarm: str
    site: str
    gateway: str
    device: str
    measurement: str
    quantity: str
    rule: str
    level: int
    value: float | None
    unit: str
    limit: float | None
    active: bool
    beyond: bool
    acknowledged: bool
    actor: str
    acknowledged_ns: int
    raised_ns: int
    ended_ns: int
    pending: tuple[str, ...]  # what the gateway was asked for and has not confirmed yet
    max_level: int = 0
    name: str = ""  # what people call the device
    now_value: object = None  # the last value of the same quantity
    now_ns: int = 0
    evidence: str = ""  # SHA-256 of its picture
    picture: Row | None = (
        None  # what is known of the picture it is shown with and of what was seen in it
    )
    beside: tuple[Row, ...] = ()  # likewise, of what else its camera sees
    stop: Stop | None = None  # of a permit's alarm

    @property
    def value_triggered(self) -> bool:
        """Whether `value` is the one that raised it to its level, and not one seen when it fell."""
        return self.beyond and self.level >= self.max_level

    @property
    def watched(self) -> bool:
        """Whether it counts what a camera sees, so that its picture tells more than its number."""
        return self.measurement == CAMERA and self.quantity == "confirmed"

    @property
    def label(self) -> str:
        """What its camera saw; empty: not known (yet)."""
        return text(self.picture or {}, "label") if self.watched else ""

    @property
    def pictures(self) -> tuple[Row, ...]:
        """That it is shown with, and those beside it."""
        return self.beside if self.picture is None else (self.picture, *self.beside)

    @property
    def judged(self) -> bool:
        """Whether the verdict on its picture speaks for it: its camera sees nothing else that may be real."""
        said = bool(text(self.picture or {}, "verdict"))
        return said and not any(in_doubt(row) for row in self.beside)

    @property
    def key(self) -> str:
        """Of its series, as a page marks what moves."""
        return f"{self.site}/{self.device}/{self.quantity}" if self.quantity else ""


def in_doubt(seen: Row) -> bool:
    """Whether a detection is in view and nobody rejected it."""
    known = bool(text(seen, "label")) and not whole(seen, "ended_ns")
    return known and text(seen, "verdict") != "rejected"


def alarm_view(row: Row) -> AlarmView:
    """From what the spine says of an alarm."""
    pending = row.get("pending")
    return AlarmView(
        alarm=text(row, "alarm"),
        site=text(row, "site"),
        gateway=text(row, "gateway"),
        device=text(row, "device"),
        measurement=text(row, "measurement"),
        quantity=text(row, "quantity"),
        rule=text(row, "rule"),
        level=whole(row, "level") or 1,
        value=number(row, "value"),
        unit=text(row, "unit"),
        limit=number(row, "limit"),
        active=flag(row, "active"),
        beyond=flag(row, "beyond"),
        acknowledged=flag(row, "acknowledged"),
        actor=text(row, "actor"),
        acknowledged_ns=whole(row, "acknowledged_ns"),
        raised_ns=whole(row, "raised_ns"),
        ended_ns=whole(row, "ended_ns"),
        pending=tuple(str(p) for p in pending) if isinstance(pending, list) else (),
        max_level=max(whole(row, "max_level"), whole(row, "level")),
        name=text(row, "device") or text(row, "gateway"),
        evidence=text(row, "evidence"),
        stop=stop_of(text(row, "why")),
    )
