"""What differs between two configurations of a gateway, in the words of the file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from tocsin.config import Section

if TYPE_CHECKING:
    from edge.config import GatewayConfig
    from edge.survey import Survey

FIXED = ("gateway.id", "gateway.site", "gateway.data_dir")  # who we are: never while we run
AT_RESTART = ("outbox.", "control.", "evidence.", "permits.", "spaces")
_LISTS = ("drivers", "checks", "alarms", "outputs", "outlets", "inputs")


class Part(msgspec.Struct, frozen=True):
    """What became of one section: names of its elements, or dotted keys of `settings`."""

    section: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: int

    @property
    def touched(self) -> list[str]:
        """All that is not as it was."""
        return [*self.added, *self.changed, *self.removed]


def compare(
    old: GatewayConfig, old_found: Survey, new: GatewayConfig, new_found: Survey
) -> dict[str, Part]:
    """Every section with what became of it."""
    before, after = _sections(old, old_found), _sections(new, new_found)
    return {name: _part(name, before[name], after[name]) for name in after}


def said(parts: Iterable[Part]) -> str:
    """In one line for people: `devices: added gas-07; alarms: changed gas-01 h2s-high`."""
    shown = []
    for part in parts:
        words = {"added": part.added, "changed": part.changed, "removed": part.removed}
        told = ", ".join(f"{word} {', '.join(names)}" for word, names in words.items() if names)
        if told:
            shown.append(f"{part.section}: {told}")
    return "; ".join(shown) or "nothing differs"


def _part(section: str, before: Mapping[str, object], after: Mapping[str, object]) -> Part:
    both = [name for name in after if name in before]
    changed = [name for name in both if before[name] != after[name]]
    return Part(
        section,
        added=[name for name in after if name not in before],
        changed=changed,
        removed=[name for name in before if name not in after],
        kept=len(both) - len(changed),
    )


def _sections(config: GatewayConfig, found: Survey) -> dict[str, dict[str, object]]:
    tables = [getattr(driver, "devices", ()) for driver in config.drivers]
    own = {
        device.id: device
        for table in tables
        if isinstance(table, tuple)  # a plug-in may mean something else by `devices`
        for device in table
        if hasattr(device, "id")
    }
    return {
        "drivers": {d.name: d for d in config.drivers},
        "devices": {s.id: (s, own.get(s.id)) for s in found.devices},
        "checks": {f"{r.device} {r.quantity}": r for r in found.checks},
        "alarms": {f"{r.device} {r.name}": r for r in found.alarms},
        "outputs": {o.name: o for o in config.outputs},
        "outlets": {o.name: o for o in config.outlets},
        "inputs": {i.name: i for i in config.inputs.acknowledge},
        "settings": _settings(config),
    }


def _settings(config: GatewayConfig) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name in _LISTS:
            continue
        if isinstance(value, Section):
            inner = {f"{name}.{key}": getattr(value, key) for key in type(value).model_fields}
            found |= {key: item for key, item in inner.items() if item is not None}
        elif value:
            found[name] = value
    return found
