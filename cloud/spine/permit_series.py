"""What a permit's bundle takes from the store: gas values, and what the gateway told of its locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from cloud.ingest.event_rows import EVENT
from cloud.ingest.last import unit_of
from cloud.permits.bundle import GasValue, LockEvent
from cloud.spine.doors import Door

GAS, LOCK_KINDS = "gas", "lock."


def gas_values(
    door: Door, site: str, devices: Sequence[str], quantities: Sequence[str], span: tuple[int, int]
) -> list[GasValue]:
    """By device, quantity and time."""
    found = []
    for device in devices:
        for quantity in quantities:
            times, values, quality = door.series(GAS, site, device, quantity, *span)
            unit = unit_of(GAS, quantity)
            for time_ns, value, q in zip(times, values, quality, strict=True):
                number = float(value) if isinstance(value, int | float) else None
                found.append(
                    GasValue(
                        device, quantity, unit, time_ns, number, q if isinstance(q, int) else 0
                    )
                )
    return found


def lock_events(
    door: Door, site: str, devices: Sequence[str], span: tuple[int, int]
) -> list[LockEvent]:
    """By device and time: events whose kind begins with `lock.`, with the lock's own bytes where its log was pulled."""
    found = []
    for device in devices:
        kinds = _texts(door, site, device, "kind", span)
        texts = _texts(door, site, device, "text", span)
        data = _texts(door, site, device, "data", span)
        for time_ns, kind in sorted(kinds.items()):
            if not kind.startswith(LOCK_KINDS):
                continue
            told = _object(data.get(time_ns, "{}"))
            found.append(LockEvent(device, time_ns, kind, texts.get(time_ns, ""), **told))
    return found


def _texts(
    door: Door, site: str, device: str, column: str, span: tuple[int, int]
) -> dict[int, str]:
    times, values, _ = door.series(EVENT, site, device, column, *span)
    return {t: v for t, v in zip(times, values, strict=True) if isinstance(v, str)}


class _Page(msgspec.Struct, frozen=True, omit_defaults=True):
    lock_id: str = ""
    first_seq: int = 0
    head_before: str = ""
    head: str = ""
    events: tuple[str, ...] = ()


def _object(text: str) -> dict[str, Any]:
    """The fields of a page of a lock's log; nothing for an event that is none."""
    try:
        return msgspec.structs.asdict(msgspec.json.decode(text, type=_Page))
    except msgspec.MsgspecError:
        return {}
