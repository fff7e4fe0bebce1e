"""Alarms as people see them: with the device's name, and the value now beside the one that raised it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from cloud.api.detections import sites_of
from cloud.api.rows import Row, number, rows_of, text, whole, within
from cloud.api.services import Services
from cloud.console.show import AlarmView, alarm_view, in_doubt
from cloud.identity.rules import Principal


async def alarms_seen(
    parts: Services, principal: Principal, *, active: bool, limit: int = 500
) -> list[AlarmView]:
    """Alarms of the caller's sites, newest first."""
    answer = await parts.spine.call("alarms", active=active, limit=limit)
    seen = [alarm_view(r) for r in within(principal, rows_of(answer))]
    return sorted(await named(parts, principal, seen), key=lambda a: -a.raised_ns)


async def named(parts: Services, principal: Principal, alarms: list[AlarmView]) -> list[AlarmView]:
    """With the names of the registry, the values of this moment, and what their pictures show."""
    if not alarms:
        return []
    watched = {(a.site, a.gateway, a.device) for a in alarms if a.active and a.watched}
    registry, values, pictures, in_view = await asyncio.gather(
        asyncio.to_thread(parts.registry.devices),
        parts.spine.call("last"),
        pictures_of(parts, principal, {a.evidence for a in alarms if a.evidence}),
        _in_view(parts, principal, watched),
    )
    names = {(d.site, d.device): d.name for d in registry}
    last = {(text(r, "site"), text(r, "device"), text(r, "quantity")): r for r in rows_of(values)}
    out = []
    for a in alarms:
        now = last.get((a.site, a.device, a.quantity), {})
        told = replace(
            a,
            name=names.get((a.site, a.device), a.name),
            now_value=number(now, "value"),
            now_ns=whole(now, "time_ns"),
        )
        first = _first(a, pictures.get((a.site, a.gateway, a.evidence)))
        out.append(_pictured(told, first, in_view.get((a.site, a.gateway, a.device), [])))
    return out


def _first(alarm: AlarmView, picture: Row | None) -> Row | None:
    """The picture that it was raised with. Of another camera that took the same one it says only whether it is here."""
    if picture is None or not alarm.watched or text(picture, "device") == alarm.device:
        return picture
    return {**picture, "detection": "", "label": "", "verdict": "", "grown": None}


def _pictured(alarm: AlarmView, first: Row | None, in_view: list[Row]) -> AlarmView:
    """With its first picture; one that stands for a camera's count with the newest thing in view that nobody rejected."""
    if not (alarm.active and alarm.watched):
        return replace(alarm, picture=first)
    if first is not None and not text(first, "detection"):
        same = text(first, "sha256")
        if any(text(row, "sha256") == same for row in in_view):
            first = None  # what this camera saw in it stands there itself
    unknown = first is None or not text(first, "label")
    shown = next(
        (row for row in in_view if in_doubt(row)), in_view[0] if unknown and in_view else first
    )
    known = {text(row, "detection"): row for row in ([first] if first else []) + in_view}
    known.pop(text(shown or {}, "detection"), None)
    return replace(alarm, picture=shown, beside=tuple(known.values()))


async def _in_view(
    parts: Services, principal: Principal, cameras: set[tuple[str, str, str]]
) -> dict[tuple[str, str, str], list[Row]]:
    """What cameras see now, newest first. What the gateway before left open is none of it."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    if cameras:
        answer = await parts.spine.call(
            "detections_in_view", cameras=sorted(cameras), sites=sites_of(principal)
        )
        for row in rows_of(answer):
            camera = text(row, "site"), text(row, "gateway"), text(row, "device")
            found.setdefault(camera, []).append(row)
    return found


async def pictures_of(
    parts: Services, principal: Principal, hashes: set[str]
) -> dict[tuple[str, str, str], Row]:
    """What is known of pictures, by site, gateway and hash: some may not be here yet."""
    if not hashes:
        return {}
    answer = await parts.spine.call(
        "evidence_seen", hashes=sorted(hashes), sites=sites_of(principal)
    )
    return {
        (text(row, "site"), text(row, "gateway"), text(row, "sha256")): row
        for row in rows_of(answer)
    }


def worst_first(alarms: Iterable[AlarmView]) -> list[AlarmView]:
    """Those that stand before those that returned, unacknowledged before acknowledged, level 2 before 1, newest first."""
    return sorted(alarms, key=lambda a: (not a.beyond, a.acknowledged, -a.level, -a.raised_ns))


async def active_alarms(parts: Services, principal: Principal) -> list[AlarmView]:
    """What every page shows above itself."""
    return worst_first(await alarms_seen(parts, principal, active=True))


async def limits_of(parts: Services, alarms: Iterable[AlarmView]) -> dict[str, list[float]]:
    """Every limit by quantity: an alarm names its present one, its journal those of its other levels."""
    found: dict[str, set[float]] = {}
    asked: set[str] = set()
    for a in alarms:
        if a.limit is None:
            continue
        found.setdefault(a.quantity, set()).add(a.limit)
        if a.quantity in asked:
            continue
        asked.add(a.quantity)
        for entry in rows_of(await parts.spine.call("alarm_journal", alarm=a.alarm)):
            limit = number(entry, "limit")
            if limit is not None:
                found[a.quantity].add(limit)
    return {q: sorted(v) for q, v in found.items()}
