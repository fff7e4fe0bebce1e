"""What `tocsin watch` shows: every quantity as it stands, the worst first. Pure: answers of the agent and a time in, rows out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import msgspec

from edge.alarm_desk import AlarmView
from edge.devices import LastValue
from tocsin.contract.catalogue import Value
from tocsin.contract.messages import DeviceHealth
from tocsin.contract.quality import Quality, Severity, severity

STALE_PERIODS, STALE_SPARE_S = 3.0, 2.0
STALE_WITHOUT_PERIOD_S = 300.0


class Rank(IntEnum):
    """How much a row wants to be seen."""

    ALARM = 0
    BAD = 1  # bad quality, or the device does not answer
    STALE = 2
    UNCERTAIN = 3
    OK = 4


class Line(msgspec.Struct, frozen=True):
    """One quantity. `age_s` counts from the device's last answer; None: it never answered."""

    rank: Rank
    device: str
    quantity: str
    value: Value
    unit: str
    age_s: float | None
    quality: str
    alarm: str


class Gateway(msgspec.Struct, frozen=True):
    """What is wanted of the agent's status. `left_out`: sections of its file with mistakes, which it goes without."""

    gateway: str
    site: str
    uptime_s: float
    connected: bool | None
    alarms: int
    devices: list[DeviceHealth]
    left_out: list[object] = []


class Picture(msgspec.Struct, frozen=True):
    """The gateway at one moment; `left_out` counts sections."""

    time_ns: int
    gateway: str
    site: str
    uptime_s: float
    connected: bool | None
    alarms: int
    left_out: int
    rows: list[Line]


def picture(
    gateway: Gateway, values: Iterable[LastValue], alarms: Iterable[AlarmView], now_ns: int
) -> Picture:
    """All devices, those without a value too."""
    health = {device.id: device for device in gateway.devices}
    worst: dict[tuple[str, str], AlarmView] = {}
    for alarm in alarms:
        before = worst.get((alarm.device, alarm.quantity))
        if before is None or _urgency(alarm) < _urgency(before):
            worst[alarm.device, alarm.quantity] = alarm
    found = [(v, worst.pop((v.device, v.quantity), None)) for v in values if v.device in health]
    # an alarm of an earlier run whose value has not come yet, and a device that never gave one
    found += [
        (_nothing(name, quantity), alarm)
        for (name, quantity), alarm in worst.items()
        if name in health
    ]
    found += [(_nothing(name), None) for name in health.keys() - {v.device for v, _ in found}]
    rows = [(_urgency(alarm), _line(v, health[v.device], alarm, now_ns)) for v, alarm in found]
    rows.sort(key=lambda row: (row[1].rank, row[0], row[1].device, row[1].quantity))
    return Picture(
        now_ns,
        gateway.gateway,
        gateway.site,
        gateway.uptime_s,
        gateway.connected,
        gateway.alarms,
        len(gateway.left_out),
        [line for _, line in rows],
    )


def _nothing(device: str, quantity: str = "") -> LastValue:
    return LastValue(device, quantity, None, "", 0, 0)


def _urgency(alarm: AlarmView | None) -> tuple[bool, bool, int]:
    """Not yet acknowledged, still beyond its limit, higher level: sorts first."""
    return (alarm.acknowledged, not alarm.beyond, -alarm.level) if alarm else (True, True, 0)


def _line(value: LastValue, device: DeviceHealth, alarm: AlarmView | None, now_ns: int) -> Line:
    age_s = None if device.last_ok_ns is None else max(0.0, (now_ns - device.last_ok_ns) / 1e9)
    quality, rank = _quality(value, device, age_s)
    return Line(
        Rank.ALARM if alarm else rank,
        value.device,
        value.quantity,
        value.value,
        value.unit,
        None if age_s is None else round(age_s, 3),
        quality,
        _alarm(alarm),
    )


def _quality(value: LastValue, device: DeviceHealth, age_s: float | None) -> tuple[str, Rank]:
    if device.state == "unavailable":
        return device.last_error.removeprefix(f"{device.id}: ") or "unavailable", Rank.BAD
    if severity(value.q) is Severity.BAD:
        return f"bad: {quality_name(value.q)}", Rank.BAD
    if age_s is None or device.state == "finished":
        return device.state, Rank.STALE if age_s is None else Rank.OK
    if age_s > stale_after_s(device.period_s):
        return "stale", Rank.STALE
    if value.q:
        return quality_name(value.q), Rank.UNCERTAIN
    return "good", Rank.OK


def stale_after_s(period_s: float | None) -> float:
    """Age at which a device's values are called stale."""
    return STALE_PERIODS * period_s + STALE_SPARE_S if period_s else STALE_WITHOUT_PERIOD_S


def quality_name(code: int) -> str:
    """A quality for people."""
    return Quality(code).name.lower().replace("_", " ") if code in list(Quality) else str(code)


def _alarm(alarm: AlarmView | None) -> str:
    if alarm is None:
        return ""
    state = "ack" if alarm.acknowledged else "NEW"
    return f"level {alarm.level} {state}" + ("" if alarm.beyond else " over")
