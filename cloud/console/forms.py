"""What people send: log-in, set-up, acknowledgements, registry, tokens, accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from cloud.api.alarms import Operator
from cloud.api.gate import COOKIE, allow, need_site, session_cookie
from cloud.api.models import CommandBody, ConfirmBody, EditBody, ReplacementBody
from cloud.api.orders import Commander, order_in_scope
from cloud.api.rows import alarm_in_scope, text
from cloud.api.services import services
from cloud.console.pages import alarm_page, device_page
from cloud.console.render import language as language_for
from cloud.console.render import page, translator
from cloud.console.words import COOKIE as LANGUAGE_COOKIE
from cloud.identity.accounts import password_problem
from cloud.identity.rules import Action, Principal
from cloud.registry import Edit, Replacement
from tocsin.errors import AlarmRefusedError, CommandRefusedError, IdentityError, IdentityReason

router = APIRouter(include_in_schema=False)
Editor = Depends(allow(Action.REGISTRY))
Anyone = Depends(allow(Action.READ))
Text = Annotated[str, Form(max_length=1000)]
YEAR_S = 365 * 24 * 3600


def _local(target: str) -> str:
    """Only a path of our own; never another site."""
    good = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if good else "/"


def _signed_in(request: Request, secret: str, target: str) -> Response:
    answer = RedirectResponse(_local(target), status_code=303)
    answer.set_cookie(
        COOKIE, secret, httponly=True, samesite="lax", secure=services(request).https, path="/"
    )
    return answer


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the address says next
    """Ask who it is."""
    first = services(request).accounts.empty()
    return page(request, "login.html", next=_local(next), problem="", first=first, name="")


@router.post("/login")
def login(
    request: Request,
    name: Text,
    password: Annotated[str, Form(max_length=256)],
    next: Text = "/",  # noqa: A002
) -> Response:
    """Begin a session."""
    address = request.client.host if request.client else ""
    try:
        secret = services(request).sessions.log_in(name, password, address)
    except IdentityError as error:
        locked = error.reason is IdentityReason.LOCKED_OUT
        return page(
            request,
            "login.html",
            status=429 if locked else 401,
            next=_local(next),
            problem="login.locked" if locked else "login.wrong",
            first=False,
            name=name,
        )
    return _signed_in(request, secret, next)


@router.post("/logout")
def logout(request: Request, principal: Principal = Anyone) -> Response:
    """End the session."""
    secret = session_cookie(request.headers)
    if secret is not None:
        services(request).sessions.log_out(secret)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/setup")
def setup_page(request: Request, token: str = "") -> Response:
    """Make the first admin, while there is none."""
    if not services(request).accounts.empty():
        return RedirectResponse("/login", status_code=303)
    return page(request, "setup.html", token=token[:200], problem="", name="")


@router.post("/setup")
def setup(
    request: Request,
    token: Text,
    name: Annotated[str, Form(min_length=1, max_length=64, pattern=r"^[^\s/]+$")],
    password: Annotated[str, Form(max_length=256)],
    repeat: Annotated[str, Form(max_length=256)],
) -> Response:
    """Spend the one-time token."""
    parts = services(request)
    problem = ""
    if password != repeat:
        problem = "setup.differ"
    elif password_problem(password):
        problem = "setup.weak"
    else:
        try:
            parts.accounts.create_first_admin(token, name, password)
        except IdentityError:
            problem = "setup.bad_token"
    if problem:
        return page(request, "setup.html", status=400, token=token, problem=problem, name=name)
    return _signed_in(request, parts.sessions.log_in(name, password, ""), "/")


@router.post("/language")
def choose_language(request: Request, to: Text, next: Text = "/") -> Response:  # noqa: A002
    """Remember the reader's language in this browser."""
    answer = RedirectResponse(_local(next), status_code=303)
    answer.set_cookie(
        LANGUAGE_COOKIE, "en" if to == "en" else "zh", max_age=YEAR_S, samesite="lax", path="/"
    )
    return answer


@router.post("/alarms/{alarm}/ack")
async def acknowledge(
    request: Request, alarm: str, note: Text = "", principal: Principal = Operator
) -> Response:
    """Acknowledge, then show the alarm."""
    return await _act(request, principal, "alarm_ack", alarm, note)


@router.post("/alarms/{alarm}/reset")
async def reset(
    request: Request, alarm: str, note: Text = "", principal: Principal = Operator
) -> Response:
    """Reset, or say why not."""
    return await _act(request, principal, "alarm_reset", alarm, note)


async def _act(request: Request, principal: Principal, op: str, alarm: str, note: str) -> Response:
    spine = services(request).spine
    await alarm_in_scope(spine, principal, alarm)
    try:
        await spine.call(op, alarm=alarm, actor=principal.name, note=note)
    except AlarmRefusedError as error:
        told = translator(language_for(request))(f"refused.{error.reason}")
        return await alarm_page(request, principal, alarm, told, 409)
    return RedirectResponse(f"/alarms/{alarm}", status_code=303)


@router.post("/devices/{site}/{device}/commands")
async def give(
    request: Request, site: str, device: str, principal: Principal = Commander
) -> Response:
    """Tell a device something; its page shows what comes of it."""
    need_site(principal, site)
    form = await request.form()
    given = {k.removeprefix("arg."): v for k, v in form.items() if k.startswith("arg.") and v}
    try:
        body = CommandBody.model_validate({"name": form.get("name"), "args": given})
    except ValidationError as error:
        return await device_page(request, principal, site, device, problem=_told(error))
    asked = services(request).spine.call(
        "command_give",
        site=site,
        device=device,
        name=body.name,
        args=body.args,
        actor=principal.name,
        expires_s=body.expires_s,
    )
    return await _commanded(request, principal, site, device, asked)


@router.post("/commands/{command}/confirm")
async def confirm(request: Request, command: str, principal: Principal = Commander) -> Response:
    """The second step of a command; the device's page shows what comes of it."""
    parts = services(request)
    row = await order_in_scope(parts, principal, command)
    asked = parts.spine.call(
        "command_confirm",
        command=command,
        actor=principal.name,
        expires_s=ConfirmBody().expires_s,
    )
    return await _commanded(request, principal, text(row, "site"), text(row, "device"), asked)


async def _commanded(
    request: Request, principal: Principal, site: str, device: str, asked: Awaitable[object]
) -> Response:
    try:
        await asked
    except CommandRefusedError as error:
        return await device_page(
            request, principal, site, device, status=409, problem=error.message
        )
    return RedirectResponse(f"/devices/{site}/{device}#commands", status_code=303)


@router.post("/devices/{site}/{device}/registry")
async def edit(request: Request, site: str, device: str, principal: Principal = Editor) -> Response:
    """Save what a person entered."""
    need_site(principal, site)
    form = await request.form()
    fields = {k: v for k, v in form.items() if v not in ("", None) and k != "csrf"}
    parts = services(request)
    try:
        body = EditBody.model_validate({**fields, "retired": "retired" in form})
    except ValidationError as error:
        return await device_page(request, principal, site, device, problem=_told(error))
    await asyncio.to_thread(parts.registry.edit, site, device, Edit(**body.model_dump()))
    await parts.spine.call("registry_changed")
    return await device_page(request, principal, site, device, message="device.saved")


@router.post("/devices/{site}/{device}/hardware")
async def replace(
    request: Request, site: str, device: str, principal: Principal = Editor
) -> Response:
    """Another instrument takes over."""
    need_site(principal, site)
    form = await request.form()
    fields = {k: v for k, v in form.items() if v not in ("", None) and k != "csrf"}
    parts = services(request)
    try:
        body = ReplacementBody.model_validate(fields)
    except ValidationError as error:
        return await device_page(request, principal, site, device, problem=_told(error))
    new = Replacement(**body.model_dump())
    await asyncio.to_thread(parts.registry.replace_hardware, site, device, new)
    await parts.spine.call("registry_changed")
    return await device_page(request, principal, site, device, message="device.saved")


def _told(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
