"""The pages people look at."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse

from cloud.api.devices import view_of, views
from cloud.api.follow import take_in
from cloud.api.gate import Reader, need_site
from cloud.api.overview import DeviceView, ValueView
from cloud.api.rows import Row, alarm_in_scope, number, rows_of, text, whole
from cloud.api.services import Services, services
from cloud.console.given import commands_of
from cloud.console.raised import active_alarms, alarms_seen, limits_of, named
from cloud.console.render import page
from cloud.console.show import AlarmView, alarm_view
from cloud.identity.rules import Principal
from cloud.registry import Device
from tocsin.contract.catalogue import catalogue, find
from tocsin.errors import NotFoundError

router = APIRouter(include_in_schema=False)
NEWEST = 5  # alarms on the overview
NOT_CHARTED = frozenset({"lat", "lon", "fix", "status"})


@router.get("/")
async def overview(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The newest open alarms, and every device, worst first."""
    parts = services(request)
    found, active = await asyncio.gather(views(parts, principal), active_alarms(parts, principal))
    newest = newest_of(active)
    return page(request, "overview.html", devices=found, active=active, newest=newest)


@router.get("/fragments/devices")
async def device_list(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The list alone, for live pages."""
    return page(request, "_devices.html", devices=await views(services(request), principal))


@router.get("/fragments/newest")
async def newest_alarms(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The newest open alarms alone."""
    active = await active_alarms(services(request), principal)
    return page(request, "_newest.html", active=active, newest=newest_of(active))


def newest_of(active: list[AlarmView]) -> list[AlarmView]:
    """What the overview has room for."""
    return sorted(active, key=lambda a: -a.raised_ns)[:NEWEST]


@router.get("/fragments/banner")
async def banner(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The alarm banner alone."""
    return page(request, "_banner.html", active=await active_alarms(services(request), principal))


@router.get("/devices/{site}/{device}")
async def device(
    request: Request, site: str, device: str, principal: Principal = Reader
) -> HTMLResponse:
    """One device: now, history, alarms, registry, hardware."""
    return await device_page(request, principal, site, device)


async def device_page(
    request: Request,
    principal: Principal,
    site: str,
    device: str,
    status: int = 200,
    **extra: object,
) -> HTMLResponse:
    """The page of a device, also after a form was sent."""
    parts = services(request)
    entry = await _registered(parts, site, device)
    view = await view_of(parts, principal, site, device)
    past = await alarms_seen(parts, principal, active=False, limit=2000)
    mine = [a for a in past if (a.site, a.device) == (site, device)]
    return page(
        request,
        "device.html",
        {"message": "", "problem": ""} | extra,
        status=status,
        device=view,
        active=await active_alarms(parts, principal),
        past=mine[:20],
        limits=await limits_of(parts, mine),
        charted=[v for v in view.values if _is_charted(view.kind, v)],
        entry=entry,
        kinds=sorted(catalogue()),
        commands=await commands_of(parts, site, device),
    )


def _is_charted(kind: str, value: ValueView) -> bool:
    known = find(kind, value.quantity)
    text_only = isinstance(value.value, str) or (known is not None and known.type == "s")
    return value.quantity not in NOT_CHARTED and not text_only


async def _registered(parts: Services, site: str, device: str) -> Device | None:
    """What the registry knows of it. A device announced a moment ago is taken in first: its form must not start empty."""
    try:
        return await asyncio.to_thread(parts.registry.get, site, device)
    except NotFoundError:
        await take_in(parts)
    try:
        return await asyncio.to_thread(parts.registry.get, site, device)
    except NotFoundError:
        return None


@router.get("/fragments/devices/{site}/{device}")
async def device_now(
    request: Request, site: str, device: str, principal: Principal = Reader
) -> HTMLResponse:
    """State and values of one device alone."""
    view = await view_of(services(request), principal, site, device)
    return page(request, "_device_now.html", device=view)


@router.get("/fragments/devices/{site}/{device}/commands")
async def device_commands(
    request: Request, site: str, device: str, principal: Principal = Reader
) -> HTMLResponse:
    """What the device was told, alone."""
    need_site(principal, site)
    found = await commands_of(services(request), site, device)
    return page(request, "_commands.html", commands=found)


@router.get("/map")
async def map_page(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Where everything is."""
    parts = services(request)
    placed, active = await asyncio.gather(
        _placed(parts, principal), active_alarms(parts, principal)
    )
    return page(request, "map.html", placed=placed, active=active, tiles=parts.tiles is not None)


@router.get("/fragments/map")
async def positions(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The table of positions alone; the markers follow it."""
    return page(request, "_positions.html", placed=await _placed(services(request), principal))


async def _placed(parts: Services, principal: Principal) -> list[dict[str, object]]:
    found = await views(parts, principal)
    return [p for p in (position_of(v) for v in found) if p is not None]


def position_of(view: DeviceView) -> dict[str, object] | None:
    """Measured position if the device measures one, else where the registry says it stands."""
    measured = {v.quantity: v for v in view.values}
    lat, lon = measured.get("lat"), measured.get("lon")
    where: dict[str, object]
    if lat and lon and isinstance(lat.value, float) and isinstance(lon.value, float):
        where = {"lat": lat.value, "lon": lon.value, "time_ns": lat.time_ns, "moves": True}
    elif view.lat is not None and view.lon is not None and lat is None:
        where = {"lat": view.lat, "lon": view.lon, "time_ns": view.last_ns, "moves": False}
    else:
        return None
    told = {q: measured[q].value if q in measured else None for q in ("speed", "course")}
    return {"view": view, **where, **told}


@router.get("/map/tiles.pmtiles")
def tiles(request: Request, principal: Principal = Reader) -> FileResponse:
    """The configured base map; read in ranges."""
    found = services(request).tiles
    if found is None:
        raise NotFoundError("no base map is configured", hint="[http] tiles in cloud.toml")
    return FileResponse(found, media_type="application/octet-stream")


@router.get("/alarms")
async def alarms(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Active alarms and the past ones."""
    return page(request, "alarms.html", await _alarm_lists(request, principal))


@router.get("/fragments/alarms")
async def alarm_list(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Both lists alone."""
    return page(request, "_alarms.html", await _alarm_lists(request, principal))


async def _alarm_lists(request: Request, principal: Principal) -> dict[str, object]:
    parts = services(request)
    active = await active_alarms(parts, principal)
    known = {a.alarm for a in active}
    every = await alarms_seen(parts, principal, active=False, limit=200)
    return {"active": active, "past": [a for a in every if a.alarm not in known], "problem": {}}


@router.get("/alarms/{alarm}")
async def alarm(
    request: Request, alarm: str, told: str = "", principal: Principal = Reader
) -> HTMLResponse:
    """One alarm, its picture and its journal."""
    return await alarm_page(request, principal, alarm, "", passed_on=told != "no")


@router.get("/fragments/alarms/{alarm}")
async def alarm_now(request: Request, alarm: str, principal: Principal = Reader) -> HTMLResponse:
    """The alarm and its journal alone."""
    return await alarm_page(request, principal, alarm, "", template="_alarm_page.html")


async def alarm_page(
    request: Request,
    principal: Principal,
    alarm: str,
    problem: str,
    status: int = 200,
    template: str = "alarm.html",
    passed_on: bool = True,
) -> HTMLResponse:
    """The page of an alarm, also after an action was refused."""
    parts = services(request)
    row = await alarm_in_scope(parts.spine, principal, alarm)
    journal = rows_of(await parts.spine.call("alarm_journal", alarm=alarm))
    return page(
        request,
        template,
        status=status,
        alarm=(await named(parts, principal, [alarm_view(row)]))[0],
        journal=[_entry(e) for e in journal],
        active=await active_alarms(parts, principal),
        problem=problem,
        passed_on=passed_on,
    )


def _entry(row: Row) -> dict[str, object]:
    return {
        "change": text(row, "change"),
        "t": whole(row, "t_ns"),
        "actor": text(row, "actor"),
        "note": text(row, "note"),
        "level": whole(row, "level"),
        "value": number(row, "value"),
        "unit": text(row, "unit"),
    }
