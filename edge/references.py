"""Mistakes between the sections of a gateway.toml that has other mistakes too, so that all are told at once."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from edge.supervisor import specs_of
from edge.survey import gives, offline
from tocsin.config import Draft, Mistake, Section
from tocsin.errors import TocsinError
from tocsin.sdk import DeviceSpec, DriverConfig


def references(draft: Draft) -> Iterator[Mistake]:
    """Names used twice, and rules for devices and quantities that no right driver has.

    A device that a wrong driver's table mentions is given the benefit of the doubt.
    """
    for section in ("drivers", "outputs", "outlets"):
        yield from _names(draft, section)
    devices, doubtful = _devices(draft)
    for section in ("checks", "alarms"):
        for i, rule in draft.valid.get(section, {}).items():
            if isinstance(rule, Section):
                yield from _rule(section, i, rule, devices, doubtful)


def _names(draft: Draft, section: str) -> Iterator[Mistake]:
    seen: set[object] = set()
    for i, element in draft.valid.get(section, {}).items():
        name = getattr(element, "name", None)
        if name in seen:
            yield Mistake((section, i, "name"), "already used above")
        seen.add(name)


def _devices(draft: Draft) -> tuple[list[DeviceSpec], set[str]]:
    """Devices of the drivers that can be built, and every word in the tables of the others."""
    devices: list[DeviceSpec] = []
    doubtful: set[str] = set()
    if "metrics" in draft.raw:  # the gateway as a device of itself
        doubtful |= set(_words([draft.raw["metrics"], draft.raw.get("gateway")]))
    tables = draft.raw.get("drivers", [])
    for i, table in enumerate(tables if isinstance(tables, list) else []):
        config = draft.valid.get("drivers", {}).get(i)
        try:
            if not isinstance(config, DriverConfig):
                raise ValueError("told already")
            devices += specs_of(config, offline(config.name))
        except (TocsinError, ValueError, OSError):
            doubtful |= set(_words(table))
    return devices, doubtful


def _rule(
    section: str, i: int, rule: Section, devices: list[DeviceSpec], doubtful: set[str]
) -> Iterator[Mistake]:
    pattern, quantity = str(getattr(rule, "device", "")), str(getattr(rule, "quantity", ""))
    fitting = [d for d in devices if fnmatchcase(d.id, pattern)]
    if any(fnmatchcase(word, pattern) for word in doubtful):
        return
    if not fitting:
        known = [d.id for d in devices]
        yield Mistake((section, i, "device"), "no device of this file has this id", known)
    elif not any(gives(d, quantity) for d in fitting):
        names = list(dict.fromkeys(c.quantity for d in fitting for c in d.channels))
        yield Mistake((section, i, "quantity"), f"{pattern} gives {', '.join(names)}", names)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _words(inner)
