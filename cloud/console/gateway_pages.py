"""The pages of the gateways."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from cloud.api.completeness import audit_of
from cloud.api.gate import Reader
from cloud.api.rows import Row, number, row_of, rows_of, text, whole, within
from cloud.api.services import services
from cloud.console.complete import completeness_view
from cloud.console.raised import active_alarms
from cloud.console.render import page
from cloud.identity.rules import Principal

router = APIRouter(include_in_schema=False)


@router.get("/gateways")
async def gateways(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Every gateway and what it says of itself."""
    return page(request, "gateways.html", await _gateways(request, principal))


@router.get("/fragments/gateways")
async def gateway_list(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The list alone."""
    return page(request, "_gateways.html", await _gateways(request, principal))


@router.get("/gateways/{gateway}")
async def gateway(request: Request, gateway: str, principal: Principal = Reader) -> HTMLResponse:
    """One gateway: what is missing and why, and what it says of itself."""
    return page(request, "gateway.html", await _one(request, principal, gateway))


@router.get("/fragments/gateways/{gateway}")
async def gateway_now(
    request: Request, gateway: str, principal: Principal = Reader
) -> HTMLResponse:
    """The same alone."""
    return page(request, "_gateway_page.html", await _one(request, principal, gateway))


async def _one(request: Request, principal: Principal, gateway: str) -> dict[str, object]:
    parts = services(request)
    audit = await audit_of(parts, principal, gateway)
    rows = within(principal, rows_of(await parts.spine.call("gateways")))
    told = next((r for r in rows if text(r, "gateway") == gateway), audit)
    now_ns = parts.clock.now_ns()
    return {
        "g": gateway_view(told) | {"complete": completeness_view(audit, now_ns)},
        "active": await active_alarms(parts, principal),
    }


async def _gateways(request: Request, principal: Principal) -> dict[str, object]:
    parts = services(request)
    told, audits, active = await asyncio.gather(
        parts.spine.call("gateways"),
        parts.spine.call("completeness", from_ns=None, to_ns=None),
        active_alarms(parts, principal),
    )
    now_ns = parts.clock.now_ns()
    found = {text(r, "gateway"): completeness_view(r, now_ns) for r in rows_of(audits)}
    nothing = completeness_view({}, now_ns)
    rows = sorted(within(principal, rows_of(told)), key=lambda r: text(r, "gateway"))
    views = [gateway_view(r) | {"complete": found.get(text(r, "gateway"), nothing)} for r in rows]
    return {"gateways": views, "active": active}


def gateway_view(row: Row) -> dict[str, object]:
    """A gateway's own words, with a place for each even where it has not spoken yet."""
    told = {**row, **row_of(row.get("health"))}
    clock = row_of(told.get("clock"))
    left_out = told.get("left_out")
    left_out = left_out if isinstance(left_out, list) else []
    return {
        "gateway": text(told, "gateway"),
        "site": text(told, "site"),
        "online": told.get("online") is True,
        "volatile": told.get("volatile") is True,
        "t": whole(told, "t"),
        "heard": bool(whole(told, "t")),
        "clock": text(clock, "state") or text(clock, "s") or "free",
        "version": text(told, "version"),
        "uptime_s": number(told, "uptime_s"),
        "pending_rows": whole(told, "pending_rows"),
        "outbox_bytes": whole(told, "outbox_bytes"),
        "outbox_cap_bytes": whole(told, "outbox_cap_bytes"),
        "rss_bytes": whole(told, "rss_bytes"),
        "config_version": whole(told, "config_version"),
        "left_out": [name for name in left_out if isinstance(name, str)],
        "devices": [
            {
                "id": text(d, "id"),
                "state": text(d, "state"),
                "reads": whole(d, "reads"),
                "errors": whole(d, "errors"),
                "last_error": text(d, "last_error"),
                "last_reason": text(d, "last_reason"),
            }
            for d in rows_of(told.get("devices"))
        ],
        "streams": [
            {
                "cls": text(s, "cls"),
                "committed": whole(s, "committed"),
                "next": whole(s, "next_seq"),
            }
            for s in rows_of(told.get("streams"))
        ],
    }
