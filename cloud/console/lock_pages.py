"""The page of locks: which have taken what is revoked, the issuer's key and the time; grants are revoked and keys replaced here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.api.gate import Reader, allow, need_site
from cloud.api.locks import MAY_REVOKE
from cloud.api.persons import need_factor, need_role, person_of
from cloud.api.services import Services, services
from cloud.console.raised import active_alarms
from cloud.console.render import page
from cloud.identity.rules import Action, Principal
from cloud.permits.locks import Lock
from tocsin.errors import IdentityError, LockKeyError

router = APIRouter(include_in_schema=False)
Admin = Depends(allow(Action.ADMIN))
Code = Annotated[str, Form(max_length=16)]
Reason = Annotated[str, Form(max_length=200)]
SHOWN = 50
PREPARE, SWITCH = "prepare", "switch"


@router.get("/permits/locks")
async def locks(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Every lock of the caller's sites."""
    parts = services(request)
    mine, changes = await asyncio.gather(
        asyncio.to_thread(_revocable, parts, principal),
        asyncio.to_thread(parts.permits.keys.all, principal.sites, SHOWN),
    )
    return await _page(request, principal, "permit_locks.html", revocable=mine, changes=changes)


@router.get("/fragments/permits/locks")
async def locks_now(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The same alone."""
    return await _page(request, principal, "_permit_locks.html")


@router.get("/permits/locks/revoke")
async def ask_revoke(
    request: Request,
    lock: Annotated[list[str], Query(max_length=1000)] = [],  # noqa: B006 - FastAPI copies it
    gateways_too: str = "",
    principal: Principal = Reader,
) -> Response:
    """What would be void, before it is."""
    if not lock:
        return RedirectResponse("/permits/locks", status_code=303)
    chosen = await asyncio.to_thread(_chosen, request, principal, lock)
    return await _confirm(request, principal, chosen, gateways_too=bool(gateways_too))


@router.post("/permits/locks/revoke")
async def revoke(
    request: Request,
    code: Code,
    reason: Reason,
    lock: Annotated[list[str], Form(max_length=1000)],
    gateways_too: Annotated[str, Form(max_length=1)] = "",
    principal: Principal = Reader,
) -> Response:
    """Void every grant issued so far for the chosen locks."""
    chosen = await asyncio.to_thread(_chosen, request, principal, lock)
    me, keys, too = person_of(principal), services(request).permits.keys, bool(gateways_too)

    def work() -> None:
        need_factor(request, me, code)
        keys.revoke([k.lock for k in chosen], me.name, reason.strip(), gateways_too=too)

    problem = await _tried(reason, work)
    if problem:
        return await _confirm(request, principal, chosen, gateways_too=too, problem=problem)
    return RedirectResponse("/permits/locks", status_code=303)


@router.get("/permits/locks/issuer")
async def ask_issuer(
    request: Request,
    do: Annotated[str, Query(pattern="^(prepare|switch)$")],
    principal: Principal = Admin,
) -> Response:
    """What replacing the issuer key means, before it is."""
    return await _confirm_issuer(request, principal, do)


@router.post("/permits/locks/issuer")
async def issuer(
    request: Request,
    code: Code,
    reason: Reason,
    do: Annotated[str, Form(pattern="^(prepare|switch)$")],
    force: Annotated[str, Form(max_length=1)] = "",
    principal: Principal = Admin,
) -> Response:
    """Make the next issuer key, or sign with it."""
    me, keys = person_of(principal), services(request).permits.keys

    def work() -> None:
        need_factor(request, me, code)
        if do == PREPARE:
            keys.prepare(me.name, reason.strip())
        else:
            keys.switch(me.name, reason.strip(), force=bool(force))

    problem = await _tried(reason, work)
    if problem:
        return await _confirm_issuer(request, principal, do, problem=problem)
    return RedirectResponse("/permits/locks", status_code=303)


async def _tried(reason: str, work: Callable[[], None]) -> str:
    """The word for what was refused; "" where it was done."""
    if not reason.strip():
        return "locks.no_reason"
    try:
        await asyncio.to_thread(work)
    except IdentityError as error:
        return f"factor.{error.reason.value}"
    except LockKeyError as error:
        return f"locks.{error.reason.value}"
    return ""


def _revocable(parts: Services, principal: Principal) -> list[Lock]:
    """Locks whose grants the caller may void."""
    if principal.kind != "session" or principal.account_id is None:
        return []
    found = parts.permits.locks.all()
    mine = [k for k in found if principal.sites is None or k.site in principal.sites]
    roles = {k.site: parts.permit_roles.roles(principal.account_id, k.site) for k in mine}
    return [k for k in mine if roles[k.site].intersection(MAY_REVOKE)]


def _chosen(request: Request, principal: Principal, names: list[str]) -> list[Lock]:
    parts, me = services(request), person_of(principal)
    chosen = [parts.permits.locks.get(name) for name in dict.fromkeys(names)]
    for lock in chosen:
        need_site(principal, lock.site)
        need_role(request, me, lock.site, *MAY_REVOKE)
    return chosen


async def _confirm(
    request: Request,
    principal: Principal,
    chosen: list[Lock],
    *,
    gateways_too: bool,
    problem: str = "",
) -> HTMLResponse:
    return page(
        request,
        "permit_lock_sure.html",
        status=409 if problem else 200,
        do="revoke",
        chosen=chosen,
        gateways_too=gateways_too,
        behind=[],
        problem=problem,
        active=await active_alarms(services(request), principal),
    )


async def _confirm_issuer(
    request: Request, principal: Principal, do: str, *, problem: str = ""
) -> HTMLResponse:
    parts = services(request)
    behind = await asyncio.to_thread(parts.permits.orders.behind) if do == SWITCH else []
    return page(
        request,
        "permit_lock_sure.html",
        status=409 if problem else 200,
        do=do,
        chosen=[],
        gateways_too=False,
        behind=behind,
        problem=problem,
        active=await active_alarms(parts, principal),
    )


async def _page(
    request: Request, principal: Principal, template: str, **more: object
) -> HTMLResponse:
    parts = services(request)
    sites = None if principal.sites is None else sorted(principal.sites)
    report, active = await asyncio.gather(
        asyncio.to_thread(parts.permits.orders.report, sites), active_alarms(parts, principal)
    )
    return page(
        request, template, more, locks=report["locks"], issuers=report["issuers"], active=active
    )
