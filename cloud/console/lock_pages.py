"""The page of locks: which have taken what is revoked, the issuer's key and the time, and which have not."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from cloud.api.gate import Reader
from cloud.api.services import services
from cloud.console.raised import active_alarms
from cloud.console.render import page
from cloud.identity.rules import Principal

router = APIRouter(include_in_schema=False)


@router.get("/permits/locks")
async def locks(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Every lock of the caller's sites."""
    return await _page(request, principal, "permit_locks.html")


@router.get("/fragments/permits/locks")
async def locks_now(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The same alone."""
    return await _page(request, principal, "_permit_locks.html")


async def _page(request: Request, principal: Principal, template: str) -> HTMLResponse:
    parts = services(request)
    sites = None if principal.sites is None else sorted(principal.sites)
    report, active = await asyncio.gather(
        asyncio.to_thread(parts.permits.orders.report, sites), active_alarms(parts, principal)
    )
    return page(request, template, locks=report["locks"], issuers=report["issuers"], active=active)
