"""The wall of cameras, a camera with its masks, and what cameras saw."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.api.detections import Operator, Sha256, sites_of
from cloud.api.devices import view_of, views
from cloud.api.gate import Reader, need_site
from cloud.api.orders import Commander
from cloud.api.overview import DeviceView
from cloud.api.rows import Row, row_of, rows_of, text
from cloud.api.services import Services, services
from cloud.console.given import commands_of
from cloud.console.raised import active_alarms, pictures_of
from cloud.console.render import page
from cloud.console.show import CAMERA, unjudged
from cloud.identity.rules import Principal
from tocsin.errors import CommandRefusedError

router = APIRouter(include_in_schema=False)
SHOWN = ("confirmed", "usable", "fps")
_DAY_NS = 86_400 * 10**9
HERE = "here"  # of a picture
MASKS_S = 3600.0  # sent within this time, or never
Filter = Annotated[Literal["", "open"], Query()]


@router.get("/cameras")
async def cameras(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Every camera with its newest picture, worst first."""
    return page(request, "cameras.html", await _wall(request, principal))


@router.get("/fragments/cameras")
async def cameras_now(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The wall alone."""
    return page(request, "_cameras.html", await _wall(request, principal))


async def _wall(request: Request, principal: Principal) -> dict[str, object]:
    parts = services(request)
    found, pictures, active = await asyncio.gather(
        views(parts, principal), _newest(parts, principal), active_alarms(parts, principal)
    )
    seen = sorted((d for d in found if d.kind == CAMERA), key=_rank)
    return {"cameras": seen, "pictures": pictures, "active": active, "shown": SHOWN}


def _rank(camera: DeviceView) -> int:
    """Worst first; the order within a rank is that of the overview."""
    value = {v.quantity: v.value for v in camera.values}
    if camera.alarm_level or value.get("confirmed"):
        return 0
    if camera.state != "ok":
        return 1
    return 3 if unjudged(camera) is None else 2


async def _newest(parts: Services, principal: Principal) -> dict[str, Row]:
    answer = await parts.spine.call("camera_views", sites=sites_of(principal))
    return {f"{text(r, 'site')}/{text(r, 'device')}": r for r in rows_of(answer)}


@router.get("/cameras/{site}/{device}")
async def camera(
    request: Request, site: str, device: str, principal: Principal = Reader
) -> HTMLResponse:
    """One camera: its newest picture, masks, what it saw."""
    return await _camera(request, principal, site, device)


async def _camera(
    request: Request,
    principal: Principal,
    site: str,
    device: str,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    parts = services(request)
    view = await view_of(parts, principal, site, device)
    pictures, commands, told, seen, looks, active = await asyncio.gather(
        _newest(parts, principal),
        commands_of(parts, site, device),
        parts.spine.call("commands", site=site, device=device, limit=500),
        parts.spine.call("detections", sites=[site], device=device, limit=20),
        parts.spine.call("camera_looks", site=site, device=device),
        active_alarms(parts, principal),
    )
    picture, detections = pictures.get(view.key), rows_of(seen)
    return page(
        request, "camera.html", status=status, device=view, picture=picture, fixed=_fixed(picture),
        commands=commands, masks=_masks(rows_of(told)), detections=detections, small=await _small(parts, principal, detections),
        lookers=rows_of(looks), active=active,
        takes_masks=any(c.name == "masks" for c in commands.takes), problem=problem,
    )  # fmt: skip


def _fixed(picture: Row | None) -> str:
    """Masks of its gateway's configuration, as JSON."""
    return json.dumps((picture or {}).get("masks") or [])


def _masks(commands: list[Row]) -> str | None:
    """Those that the camera took last, as JSON; None: the cloud saw it take none."""
    for row in commands:
        if text(row, "name") == "masks" and text(row, "state") == "done":
            return text(row_of(row.get("args")), "masks") or "[]"
    return None


@router.post("/cameras/{site}/{device}/masks")
async def draw(
    request: Request,
    site: str,
    device: str,
    masks: Annotated[str, Form(max_length=4000)],
    principal: Principal = Commander,
) -> Response:
    """Send drawn masks to the camera; its page shows what comes of it."""
    need_site(principal, site)
    try:
        await services(request).spine.call(
            "command_give", site=site, device=device, name="masks",
            args={"masks": masks}, actor=principal.name, expires_s=MASKS_S,
        )  # fmt: skip
    except CommandRefusedError as error:
        return await _camera(request, principal, site, device, error.message, 409)
    return RedirectResponse(f"/cameras/{site}/{device}#commands", status_code=303)


@router.get("/detections")
async def detections(
    request: Request, show: Filter = "", principal: Principal = Reader
) -> HTMLResponse:
    """What cameras saw, newest first."""
    return page(request, "detections.html", await _seen(request, principal, show))


@router.get("/fragments/detections")
async def detections_now(
    request: Request, show: Filter = "", principal: Principal = Reader
) -> HTMLResponse:
    """The list alone."""
    return page(request, "_detections.html", await _seen(request, principal, show))


async def _seen(request: Request, principal: Principal, show: str) -> dict[str, object]:
    parts = services(request)
    verdict = "" if show == "open" else None
    found, active = await asyncio.gather(
        parts.spine.call("detections", sites=sites_of(principal), verdict=verdict, limit=200),
        active_alarms(parts, principal),
    )
    rows = rows_of(found)
    small = await _small(parts, principal, rows)
    return {"detections": rows, "small": small, "active": active, "show": show}


async def _small(
    parts: Services, principal: Principal, seen: list[Row]
) -> dict[tuple[str, str, str], Row]:
    """The small pictures of detections."""
    hashes = {text(row, "thumbnail") for row in seen}
    return await pictures_of(parts, principal, hashes - {""})


@router.get("/detections/export")
async def export(
    days: Annotated[int, Query(ge=0, le=36_500)] = 0,
    spectrum: Literal["visible", "thermal", "all"] = "visible",
    principal: Principal = Operator,
) -> Response:
    """Labelled pictures of the last days (0: all there are), by the API."""
    from_ns = max(0, time.time_ns() - days * _DAY_NS) if days else 0
    return RedirectResponse(
        f"/api/v1/detections/export?from_ns={from_ns}&spectrum={spectrum}", status_code=303
    )


@router.get("/detections/{detection}")
async def detection(
    request: Request, detection: str, told: str = "", principal: Principal = Reader
) -> HTMLResponse:
    """One detection: pictures, why, verdict, who looked."""
    shown = await _one(request, principal, detection)
    return page(request, "detection.html", shown, passed_on=told != "no")


@router.get("/fragments/detections/{detection}")
async def detection_now(
    request: Request, detection: str, principal: Principal = Reader
) -> HTMLResponse:
    """The same alone, without the form."""
    return page(request, "_detection.html", await _one(request, principal, detection))


async def _one(request: Request, principal: Principal, detection: str) -> dict[str, object]:
    parts = services(request)
    found, active = await asyncio.gather(
        parts.spine.call("detection", detection=detection, sites=sites_of(principal)),
        active_alarms(parts, principal),
    )
    row = row_of(found)
    return {
        "d": row,
        "told": row_of(row.get("told")),
        "pictures": sorted(rows_of(row.get("evidence")), key=_by_worth),
        "lookers": rows_of(row.get("views")),
        "active": active,
    }


def _by_worth(exhibit: Row) -> tuple[bool, bool]:
    """What is here first, that of the moment before the others, each in the order of time."""
    return text(exhibit, "state") != HERE, text(exhibit, "role") != "at"


@router.post("/detections/{detection}/verdict")
async def judge(
    request: Request,
    detection: str,
    verdict: Annotated[Literal["confirmed", "rejected"], Form()],
    note: Annotated[str, Form(max_length=2000)] = "",
    alarm: Annotated[str, Form(max_length=128)] = "",
    principal: Principal = Operator,
) -> Response:
    """Say what it was, on its own page or on that of its alarm."""
    answer = await services(request).spine.call(
        "detection_judge", detection=detection, verdict=verdict,
        actor=principal.name, note=note, sites=sites_of(principal),
    )  # fmt: skip
    end = "?told=no" if text(row_of(answer), "not_passed_on") else ""
    page_of = f"/alarms/{quote(alarm, safe='')}" if alarm else f"/detections/{detection}"
    return RedirectResponse(f"{page_of}{end}", status_code=303)


@router.post("/evidence/{sha256}/fetch")
async def fetch(request: Request, sha256: Sha256, principal: Principal = Reader) -> Response:
    """Have the gateway send it, then show its detection."""
    answer = await services(request).spine.call(
        "evidence_want", sha256=sha256, sites=sites_of(principal)
    )
    return RedirectResponse(f"/detections/{text(row_of(answer), 'detection')}", status_code=303)
