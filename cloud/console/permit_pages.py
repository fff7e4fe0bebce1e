"""The pages of permits: the list, one permit with its journal, an application, the wall."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from cloud.api.devices import views
from cloud.api.gate import Reader, need_site
from cloud.api.permit_calls import permit_in_scope, spine_call
from cloud.api.rows import Row, row_of, rows_of, within
from cloud.api.services import Services, services
from cloud.console.permit_actions import choices
from cloud.console.permit_show import PermitView, gas_of, journal_view, permit_view
from cloud.console.permit_words import NOT_MINE, PermitWords, Refusal
from cloud.console.raised import active_alarms
from cloud.console.render import language, page, translator
from cloud.identity.rules import Principal, sees
from cloud.permits.holders import HolderKey
from tocsin.errors import NotFoundError
from tocsin.permits.context import Instrument
from tocsin.permits.facts import Form
from tocsin.permits.names import ENDED, Action
from tocsin.permits.rule_rows import Rules
from tocsin.permits.space import Space, Template

router = APIRouter(include_in_schema=False)
LISTED = 200


@router.get("/permits")
async def permits(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Every permit, worst first, then those that ended."""
    return page(request, "permits.html", await _lists(request, principal))


@router.get("/fragments/permits")
async def permit_list(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The list alone."""
    return page(request, "_permits.html", await _lists(request, principal))


@router.get("/permits/wall")
async def wall(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Permits in force for a large screen, worst first."""
    return page(request, "permit_wall.html", await _wall(request, principal))


@router.get("/fragments/permits/wall")
async def wall_now(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """The same alone."""
    return page(request, "_permit_wall.html", await _wall(request, principal))


@router.get("/permits/new")
async def new(
    request: Request, site: str = "", space: str = "", principal: Principal = Reader
) -> HTMLResponse:
    """Choose the space, then fill in the application."""
    if site and space:
        return await form_page(request, principal, site, space)
    found = await asyncio.to_thread(services(request).permits.ledger.all, Space)
    spaces = [s for s in found if sees(principal, s.site)]
    active = await active_alarms(services(request), principal)
    return page(request, "permit_spaces.html", spaces=spaces, active=active)


async def form_page(
    request: Request,
    principal: Principal,
    site: str,
    space: str,
    *,
    form: Form | None = None,
    permit: str = "",
    refusal: Refusal | None = None,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    """An application to fill in; `form` is what was filled in before."""
    need_site(principal, site)
    parts = services(request)
    place = await asyncio.to_thread(parts.permits.ledger.get, Space, site, space)
    people = await asyncio.to_thread(parts.permit_roles.people, site)
    held = {
        role: [p.name for p in people if role in {r.value for r in p.roles}]
        for role in ("applicant", "attendant", "entrant", "gas-tester")
    }
    template = parts.permits.packs.template(place.template)
    return page(
        request,
        "permit_form.html",
        status=status,
        space=place,
        hazards=template,
        words=_words(request, template),
        held=held,
        form=form,
        permit=permit,
        refusal=refusal,
        problem=problem,
        active=await active_alarms(parts, principal),
    )


@router.get("/permits/{permit}")
async def permit(
    request: Request, permit: str, tried: Action | None = None, principal: Principal = Reader
) -> HTMLResponse:
    """One permit; `tried` was refused just now, and is told if it still would be."""
    return await permit_page(request, principal, permit, tried=tried)


@router.get("/permits/{permit}/edit")
async def edit(request: Request, permit: str, principal: Principal = Reader) -> HTMLResponse:
    """Change a draft."""
    view = await view_in_scope(request, principal, permit)
    if view.permit.form is None or view.space is None:
        raise NotFoundError("the permit's space is no longer in the ledger")
    form = view.permit.form
    return await form_page(request, principal, view.site, view.space.id, form=form, permit=permit)


@router.get("/fragments/permits/{permit}/{part}")
async def permit_part(
    request: Request, permit: str, part: str, principal: Principal = Reader
) -> HTMLResponse:
    """One part alone: what it is now, what may be done, its journal."""
    template = {"now": "_permit_now.html", "actions": "_permit_actions.html"}.get(part)
    if template is None:
        template = "_permit_journal.html"
    return await permit_page(request, principal, permit, template=template)


async def permit_page(
    request: Request,
    principal: Principal,
    permit: str,
    *,
    template: str = "permit.html",
    refusal: Refusal | None = None,
    problem: str = "",
    given: Mapping[str, str] | None = None,
    tried: Action | None = None,
    status: int = 200,
) -> HTMLResponse:
    """The page of a permit, also after something was refused; `given` is what had been typed."""
    parts = services(request)
    view = await view_in_scope(request, principal, permit)
    actor = principal.name if principal.kind == "session" else ""
    journal, why, devices, active = await asyncio.gather(
        spine_call(request, "permit_journal", permit=permit),
        spine_call(request, "permit_why", permit=permit, actor=actor),
        views(parts, principal),
        active_alarms(parts, principal),
    )
    words = _words(request, view.template)
    if tried is not None and (told := row_of(row_of(why).get(tried.value))):
        refusal = words.refusal(told) if told.get("reason") not in NOT_MINE else None
    shown = await asyncio.to_thread(_known, parts, view, principal)
    return page(
        request,
        template,
        shown,
        status=status,
        p=view,
        words=words,
        journal=journal_view(rows_of(journal), words, _rules(parts, view)),
        choices=choices(row_of(why), words, signed=actor in view.permit.briefed),
        gas=gas_of(view, devices, _rules(parts, view)),
        ended=view.state in ENDED,
        me=actor,
        refusal=refusal,
        problem=problem,
        given=given or {},
        active=active,
    )


def _known(parts: Services, view: PermitView, principal: Principal) -> dict[str, object]:
    """What the database of the web process knows beside the permit."""
    instruments = parts.permits.ledger.all(Instrument, view.site)
    keys: list[HolderKey] = parts.permits.holders.of(principal.name)
    return {
        "instruments": [i.id for i in instruments],
        "holders": [k.holder for k in keys if k.revoked_ns is None],
    }


async def view_in_scope(request: Request, principal: Principal, permit: str) -> PermitView:
    """One permit.

    Raises:
        NotFoundError: no such permit, or at a site the caller does not see.
    """
    row = await permit_in_scope(request, principal, permit)
    return (await asyncio.to_thread(_views, services(request), [row]))[0]


def _views(parts: Services, rows: list[Row]) -> list[PermitView]:
    spaces = {(s.site, s.id): s for s in parts.permits.ledger.all(Space)}
    templates = parts.permits.packs.templates
    found = []
    for row in rows:
        space = spaces.get((str(row.get("site")), str(row.get("space"))))
        form = row_of(row_of(row.get("permit")).get("form"))
        found.append(permit_view(row, space, templates.get(str(form.get("template")))))
    return found


async def seen_permits(request: Request, principal: Principal, *, live: bool) -> list[PermitView]:
    """Those at the caller's sites, worst first."""
    sites = None if principal.sites is None else sorted(principal.sites)
    rows = within(
        principal,
        rows_of(await spine_call(request, "permits", sites=sites, live=live, limit=LISTED)),
    )
    found = await asyncio.to_thread(_views, services(request), rows)
    now_ns = services(request).clock.now_ns()
    return sorted(found, key=lambda v: v.rank(now_ns))


async def _lists(request: Request, principal: Principal) -> dict[str, object]:
    found, active = await asyncio.gather(
        seen_permits(request, principal, live=False), active_alarms(services(request), principal)
    )
    past = sorted((v for v in found if v.state in ENDED), key=lambda v: -v.changed_ns)
    return {
        "running": [v for v in found if v.state not in ENDED],
        "past": past,
        "words": _words(request, None),
        "active": active,
    }


async def _wall(request: Request, principal: Principal) -> dict[str, object]:
    parts = services(request)
    found, devices, active = await asyncio.gather(
        seen_permits(request, principal, live=True),
        views(parts, principal),
        active_alarms(parts, principal),
    )
    in_force = [v for v in found if v.in_force]
    return {
        "permits": [(v, gas_of(v, devices, _rules(parts, v))) for v in in_force],
        "preparing": sum(v.preparing for v in found),
        "inside": sum(len(v.permit.inside) for v in in_force),
        "unknown": sum(not v.permit.headcount_known for v in in_force),
        "words": _words(request, None),
        "active": active,
    }


def _rules(parts: Services, view: PermitView) -> Rules | None:
    return parts.permits.packs.rules.get(view.rules)


def _words(request: Request, template: Template | None) -> PermitWords:
    lang = language(request)
    return PermitWords(translator(lang), lang, template)
