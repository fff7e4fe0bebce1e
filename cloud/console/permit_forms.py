"""What people send on permits: an application, and each action with what it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cloud.api.gate import Reader, need_site
from cloud.api.permit_bodies import FormBody
from cloud.api.permit_calls import act, form_of, permit_in_scope, spine_call
from cloud.api.persons import need_factor, person_of
from cloud.api.rows import row_of, text
from cloud.console.permit_actions import SIGNED
from cloud.console.permit_facts import fact_of
from cloud.console.permit_pages import form_page, permit_page, view_in_scope
from cloud.console.permit_words import PermitWords, Refusal
from cloud.console.render import language, translator
from cloud.identity.rules import Principal
from tocsin.errors import BadRequestError, IdentityError, NotFoundError, PermitRefusedError
from tocsin.permits.facts import Drafted, Form
from tocsin.permits.names import Action
from tocsin.permits.space import Template

router = APIRouter(include_in_schema=False)
NS = 10**9


@router.post("/permits/new")
async def apply(request: Request, principal: Principal = Reader) -> Response:
    """Begin a permit; the second button also hands it in."""
    sent = await request.form()
    site, space = _one(sent, "site"), _one(sent, "space")
    need_site(principal, site)
    me = person_of(principal)
    try:
        form = _form(sent)
    except ValidationError as error:
        return await form_page(request, principal, site, space, problem=_told(error), status=400)
    try:
        made = await spine_call(
            request, "permit_draft", site=site, form=msgspec.to_builtins(form), actor=me.name
        )
    except PermitRefusedError as error:
        refusal = _refusal(request, error)
        return await form_page(
            request, principal, site, space, form=form, refusal=refusal, status=409
        )
    permit = text(row_of(row_of(made).get("permit")), "id")
    return await _handed_in(request, principal, permit, sent)


@router.post("/permits/{permit}/edit")
async def change(request: Request, permit: str, principal: Principal = Reader) -> Response:
    """Change a draft; the second button also hands it in."""
    sent = await request.form()
    view = await view_in_scope(request, principal, permit)
    if view.space is None:
        raise NotFoundError("the permit's space is no longer in the ledger")
    place = view.site, view.space.id
    try:
        form = _form(sent)
    except ValidationError as error:
        before = view.permit.form
        return await form_page(
            request, principal, *place, form=before, permit=permit, problem=_told(error), status=400
        )
    try:
        await act(request, principal, permit, Action.DRAFT, Drafted(form))
    except PermitRefusedError as error:
        refusal = _refusal(request, error, view.template)
        return await form_page(
            request, principal, *place, form=form, permit=permit, refusal=refusal, status=409
        )
    return await _handed_in(request, principal, permit, sent)


async def _handed_in(
    request: Request, principal: Principal, permit: str, sent: FormData
) -> Response:
    """The draft is kept whatever becomes of it: the answer sends on, so that a reload begins no second one."""
    shown = f"/permits/{permit}"
    if _one(sent, "then") == "submit":
        try:
            await act(request, principal, permit, Action.SUBMIT)
        except PermitRefusedError:
            shown += f"?tried={Action.SUBMIT.value}"
    return RedirectResponse(shown, status_code=303)


@router.get("/permits/{permit}/{action}")
async def seen(permit: str, action: Action, principal: Principal = Reader) -> Response:
    """The address that a refusal was shown at, opened later: the permit as it is now."""
    return RedirectResponse(f"/permits/{permit}", status_code=303)


@router.post("/permits/{permit}/{action}")
async def do(
    request: Request, permit: str, action: Action, principal: Principal = Reader
) -> Response:
    """One action; the page then says what came of it, or why not."""
    return await _asked(request, principal, permit, action, await request.form())


async def _asked(
    request: Request, principal: Principal, permit: str, action: Action, sent: FormData
) -> Response:
    me = person_of(principal)
    given = {k: v for k, v in sent.items() if isinstance(v, str) and k not in ("csrf", "code")}
    reason, place = _one(sent, "reason"), _one(sent, "place")
    try:
        await permit_in_scope(request, principal, permit)
        said = fact_of(action, sent, me.name)
        if action in SIGNED:  # taken first: it is worth nothing afterwards, whatever the rules say
            await asyncio.to_thread(need_factor, request, me, _one(sent, "code"))
        await act(request, principal, permit, action, said, reason=reason, place=place)
    except PermitRefusedError as error:
        view = await view_in_scope(request, principal, permit)
        refusal = _refusal(request, error, view.template)
        return await permit_page(
            request, principal, permit, refusal=refusal, given=given, status=409
        )
    except IdentityError as error:
        problem = translator(language(request))(f"factor.{error.reason.value}")
        return await permit_page(
            request, principal, permit, problem=problem, given=given, status=409
        )
    except BadRequestError as error:
        return await permit_page(
            request, principal, permit, problem=error.message, given=given, status=409
        )
    return RedirectResponse(f"/permits/{permit}", status_code=303)


def _refusal(
    request: Request, error: PermitRefusedError, template: Template | None = None
) -> Refusal:
    lang = language(request)
    return PermitWords(translator(lang), lang, template).refusal(error.told)


def _form(sent: FormData) -> Form:
    """What was filled in.

    Raises:
        ValidationError: a field is too long, or the times are none.
    """
    from_ns, hours = _begins_ns(sent), _number(_one(sent, "hours"))
    told: dict[str, object] = {
        name: _one(sent, name)
        for name in (
            "space", "template", "purpose", "work_leader", "gas_tester", "rescue_plan",
            "rescue_call", "contractor", "contractor_licence", "communication",
        )
    } | {
        name: [v for v in sent.getlist(name) if isinstance(v, str) and v]
        for name in ("attendants", "entrants", "equipment", "checklist", "photos")
    }  # fmt: skip
    told["steps"] = [line.strip() for line in _one(sent, "steps").splitlines() if line.strip()]
    for name in ("activities", "linked"):
        told[name] = [v.strip() for v in _one(sent, name).split(",") if v.strip()]
    until_ns = from_ns + int(hours * 3600 * NS)
    body = FormBody.model_validate({**told, "from_ns": from_ns, "until_ns": until_ns})
    return form_of(body)


def _begins_ns(sent: Mapping[str, object]) -> int:
    """A local time as the browser writes it, and how many minutes its zone is behind UTC."""
    try:
        local = datetime.fromisoformat(str(sent.get("begins", ""))).replace(tzinfo=UTC)
    except ValueError:
        return 0
    behind_min = _number(str(sent.get("behind_utc_min", "0")))
    return max(int((local.timestamp() + behind_min * 60) * NS), 0)


def _number(given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        return 0.0
    return value if 0 <= abs(value) < 10_000 else 0.0


def _one(sent: Mapping[str, object], name: str) -> str:
    value = sent.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _told(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
