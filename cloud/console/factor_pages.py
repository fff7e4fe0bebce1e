"""The caller's second factor: a QR code drawn here, for an authenticator app, and the phones that grants go to."""

from __future__ import annotations

import asyncio
from typing import Annotated

import segno
from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, Response

from cloud.api.asked_keys import confirmed, refused, waiting
from cloud.api.gate import Reader
from cloud.api.persons import person_of
from cloud.api.services import services
from cloud.console.raised import active_alarms
from cloud.console.render import page
from cloud.identity.rules import Principal
from cloud.identity.second_factor import Enrolment
from tocsin.errors import IdentityError, LockKeyError, NotFoundError

router = APIRouter(include_in_schema=False)
Code = Annotated[str, Form(max_length=16)]


@router.get("/second-factor")
async def factor(request: Request, principal: Principal = Reader) -> HTMLResponse:
    """Whether there is one, and how to begin."""
    return await _page(request, principal)


@router.post("/second-factor")
async def begin(
    request: Request,
    password: Annotated[str, Form(max_length=256)],
    code: Code = "",
    principal: Principal = Reader,
) -> Response:
    """A new secret, shown in this answer alone."""
    me = person_of(principal)
    factors = services(request).factors
    try:
        made = await asyncio.to_thread(factors.begin, me.account_id, password, code)
    except IdentityError as error:
        return await _page(request, principal, problem=f"factor.{error.reason.value}", status=409)
    return await _page(request, principal, made=made)


@router.post("/second-factor/confirm")
async def confirm(
    request: Request,
    code: Code,
    secret: Annotated[str, Form(max_length=64)] = "",
    principal: Principal = Reader,
) -> Response:
    """The first code of the app: from now on it counts. A wrong one shows the same `secret` again."""
    me, factors = person_of(principal), services(request).factors
    try:
        await asyncio.to_thread(factors.confirm, me.account_id, code)
    except IdentityError as error:
        made = await asyncio.to_thread(factors.waiting, me.account_id, secret)
        problem = f"factor.{error.reason.value}"
        return await _page(request, principal, made=made, problem=problem, status=409)
    return await _page(request, principal, done="factor.done")


@router.post("/asked-keys/{site}/{holder}")
async def asked(
    request: Request,
    site: str,
    holder: str,
    code: Code,
    do: Annotated[str, Form(pattern="^(confirm|refuse)$")],
    reason: Annotated[str, Form(max_length=200)] = "",
    principal: Principal = Reader,
) -> Response:
    """Confirm a phone key that was made at a gateway, or refuse it with a reason."""
    if do == "refuse" and not reason.strip():
        return await _page(request, principal, problem="phone.no_reason", status=409)
    try:
        if do == "refuse":
            await refused(request, principal, site, holder, code, reason.strip())
        else:
            await confirmed(request, principal, site, holder, code)
    except IdentityError as error:
        return await _page(request, principal, problem=f"factor.{error.reason.value}", status=409)
    except (LockKeyError, NotFoundError):
        return await _page(request, principal, problem="phone.gone", status=409)
    return await _page(
        request, principal, done="phone.refused" if do == "refuse" else "phone.confirmed"
    )


async def _page(
    request: Request,
    principal: Principal,
    *,
    made: Enrolment | None = None,
    problem: str = "",
    done: str = "",
    status: int = 200,
) -> HTMLResponse:
    parts, me = services(request), person_of(principal)
    state = await asyncio.to_thread(parts.factors.state, me.account_id)
    phones = await asyncio.to_thread(parts.permits.holders.of, me.name)
    return page(
        request,
        "factor.html",
        status=status,
        state=state,
        phones=phones,
        asked=await asyncio.to_thread(waiting, request, principal),
        secret=made.secret if made else "",
        qr=qr_svg(made.uri) if made else "",
        problem=problem,
        done=done,
        active=await active_alarms(parts, principal),
    )


def qr_svg(text: str) -> str:
    """A QR code as an inline SVG of black modules on white, without style or script."""
    return segno.make(text, micro=False, error="m").svg_inline(
        omitsize=True, border=4, dark="#000", light="#fff"
    )
