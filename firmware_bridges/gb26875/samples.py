"""One object of application data as the values of a fire-protection device."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from firmware_bridges.gb26875.names import (
    ANALOGS,
    COMPONENT_STATES,
    SYSTEM_STATES,
    TRANSMITTER_STATES,
)
from tocsin.contract.catalogue import Value
from tocsin.contract.units import conversion
from tocsin.sdk import Channel, DeviceSpec, Sample

# States that stand until something tells that they have gone; the others are told of a system or the transmitter alone.
STANDING = (
    "fire",
    "fault",
    "shielded",
    "supervised",
    "started",
    "feedback",
    "delayed",
    "main_power_fault",
    "backup_power_fault",
    "bus_fault",
    "power_fault",
    "link_fault",
    "line_fault",
)
_PASSING = ("normal", "manual", "config_changed", "reset")
_UNITS = {
    analog.quantity: analog.unit for analog in reversed(ANALOGS.values()) if analog.unit != "MPa"
}
CHANNELS = (
    *(Channel(name, "1", "b") for name in (*STANDING, *_PASSING)),
    *(Channel(quantity, unit) for quantity, unit in sorted(_UNITS.items())),
    Channel("clock_error", "s"),
    Channel("status", "1", "i"),
    Channel("operator", "1", "i"),
    *(Channel(name, "1", "s") for name in ("part", "description", "operation", "info")),
)
_STATES = {1: SYSTEM_STATES, 2: COMPONENT_STATES, 21: TRANSMITTER_STATES}
_INFO = {5: "version", 6: "config", 25: "version", 26: "config"}
CLOCKS = (8, 28)
UPWARD = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 21, 24, 25, 26, 28))


def part_of(one: Mapping[str, Any]) -> str:
    """Which part speaks: `1/3` a system (type, address), `1/3/393433` a component of it, empty the transmitter."""
    names = ("system_type", "system_addr", "component_addr")
    return "/".join(str(one[name]) for name in names if name in one)


def values_of(kind: int, one: Mapping[str, Any]) -> dict[str, Value]:
    """The values that an object of type `kind` tells, by quantity, in the units of `CHANNELS`."""
    values: dict[str, Value] = {"part": part_of(one) or None}
    if one.get("description"):
        values["description"] = one["description"]
    if kind in _STATES:
        word = one["uitd_status" if kind == 21 else "status"]
        values["status"] = word
        values |= {name: bool(word >> bit & 1) for bit, name in enumerate(_STATES[kind])}
        if kind == 2:
            del values["normal"]
    elif kind == 3:
        values |= _analog(one)
    elif kind in (4, 24):
        values["operation"] = " ".join(one["operations"]) or "none"
        values["operator"] = one["operator"]
    elif kind in _INFO:
        values["info"] = f"{_INFO[kind]} {one[_INFO[kind]]}"
    return values


def _analog(one: Mapping[str, Any]) -> dict[str, Value]:
    analog = ANALOGS.get(one["analog_type"])
    if analog is None:
        return {"info": f"analog {one['analog_type']}: {one['analog_raw']}"}
    value = one["analog_raw"] / analog.per_unit
    return {analog.quantity: conversion(analog.unit, _UNITS[analog.quantity])(value)}


def time_ns(one: Mapping[str, Any], zone: timezone) -> int | None:
    """The object's own time; None if it has none."""
    told = one.get("time")
    if told is None:
        return None
    return int(datetime.fromisoformat(told).replace(tzinfo=zone).timestamp()) * 1_000_000_000


def sample(
    spec: DeviceSpec, values: Mapping[str, Value], ts_ns: int, source_ns: int | None
) -> Sample:
    """A sample that tells `values` and nothing else."""
    return Sample(spec, ts_ns, tuple(values.get(c.quantity) for c in CHANNELS), source_ns)
