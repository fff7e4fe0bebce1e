"""What the server says of a device's variables, as samples. Needs no server."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from edge.drivers.opcua.config import OpcUaConfig, OpcUaDevice
from firmware_bridges.opcua.quality import quality_of
from tocsin.contract.catalogue import TypeCode, Value, find
from tocsin.contract.quality import Quality, Severity, severity
from tocsin.sdk import Channel, DeviceSpec, Sample, SourceWindow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Told(msgspec.Struct, frozen=True):
    """One value of one variable: its channel's number, what was said, the status code, the source's time."""

    channel: int
    value: object
    status: int
    source_ns: int | None


def spec_of(config: OpcUaConfig, device: OpcUaDevice) -> DeviceSpec:
    """The device as it is announced."""
    channels = []
    for node in device.nodes:
        entry = find(device.measurement, node.quantity)
        kind: TypeCode = node.type or (entry.type if entry else "f")
        channels.append(Channel(node.quantity, node.unit, kind, node.scale, node.offset))
    return DeviceSpec(
        id=device.id,
        measurement=device.measurement,
        channels=tuple(channels),
        period_s=device.period_s if config.mode == "poll" else config.refresh_s or None,
        window=SourceWindow(max_past_s=config.max_past_s),
        model=device.model,
    )


def told(channel: int, data: Any) -> Told:
    """From an `ua.DataValue`."""
    value = None if data.Value is None else data.Value.Value
    status = 0 if data.StatusCode is None else int(data.StatusCode.value)
    return Told(channel, value, status, _ns(data.SourceTimestamp))


def _ns(at: datetime | None) -> int | None:
    if at is None or at.year < 1970:
        return None
    past = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000_000 + past.microseconds * 1_000


def samples(spec: DeviceSpec, changes: Iterable[Told], now_ns: int) -> list[Sample]:
    """One sample for each source time, in the order of time; variables that were not told are absent from it."""
    groups: dict[int | None, list[Told]] = {}
    for change in changes:
        groups.setdefault(change.source_ns, []).append(change)
    order = sorted(groups, key=lambda at: -1 if at is None else at)
    return [sample(spec, groups[at], at, now_ns) for at in order]


def sample(spec: DeviceSpec, changes: Sequence[Told], source_ns: int | None, now_ns: int) -> Sample:
    """These values under one stamp; of two for one variable the later one."""
    values: list[Value] = [None] * len(spec.channels)
    quality = [0] * len(spec.channels)
    for change in changes:
        kind = spec.channels[change.channel].type
        values[change.channel], quality[change.channel] = judge(kind, change)
    codes = tuple(quality) if any(quality) else None
    return Sample(spec, now_ns, tuple(values), source_ns, codes)


def judge(kind: TypeCode, change: Told) -> tuple[Value, int]:
    """(value, quality). A bad status has no value; one of another type than the channel's is missing."""
    code = quality_of(change.status)
    if severity(code) is Severity.BAD:
        return None, int(code)
    value = _fit(kind, change.value)
    if value is None:
        return None, int(Quality.MISSING)
    if isinstance(value, float) and not math.isfinite(value):
        return None, int(Quality.NOT_FINITE)
    return value, int(code)


def _fit(kind: TypeCode, value: object) -> Value:
    if kind == "s":
        return str(value) if isinstance(value, str | int | float) else None
    if not isinstance(value, bool | int | float):
        return None
    if kind == "b":
        return bool(value)
    if kind == "i":
        return int(value) if float(value).is_integer() else None
    return float(value)
