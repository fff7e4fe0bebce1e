"""Tokens and accounts, as pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from cloud.api.gate import allow
from cloud.api.models import AccountBody, AccountChange, TokenBody
from cloud.api.people import make_token, whose
from cloud.api.services import services
from cloud.console.forms import Text
from cloud.console.render import page
from cloud.identity.accounts import password_problem
from cloud.identity.rules import Action, Principal, Role, Scope
from tocsin.errors import TocsinError

router = APIRouter(include_in_schema=False)
Owner = Depends(allow(Action.TOKENS))
Admin = Depends(allow(Action.ADMIN))


def _sites(given: str) -> list[str] | None:
    return [s.strip() for s in given.split(",") if s.strip()] or None


def _tokens(
    request: Request, principal: Principal, *, made: str = "", problem: str = "", status: int = 200
) -> Response:
    parts = services(request)
    found = parts.tokens.list(whose(principal))
    return page(
        request,
        "tokens.html",
        status=status,
        tokens=found[::-1],
        scopes=list(Scope),
        made=made,
        problem=problem,
        active=[],
    )


@router.get("/tokens")
def tokens(request: Request, principal: Principal = Owner) -> Response:
    """The caller's tokens."""
    return _tokens(request, principal)


@router.post("/tokens")
def create_token(
    request: Request,
    name: Text,
    scopes: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    sites: Text = "",
    days: Text = "",
    principal: Principal = Owner,
) -> Response:
    """Make one and show it once."""
    try:
        body = TokenBody.model_validate(
            {"name": name, "scopes": scopes, "sites": _sites(sites), "days": days or None}
        )
        secret, _ = make_token(request, body, principal)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return _tokens(request, principal, problem=told, status=400)
    return _tokens(request, principal, made=secret)


@router.post("/tokens/{token}/revoke")
def revoke(request: Request, token: str, principal: Principal = Owner) -> Response:
    """End a token."""
    services(request).tokens.revoke(token, whose(principal))
    return RedirectResponse("/tokens", status_code=303)


def _accounts(request: Request, problem: str = "", status: int = 200) -> Response:
    return page(
        request,
        "accounts.html",
        status=status,
        accounts=services(request).accounts.list(),
        roles=list(Role),
        problem=problem,
        active=[],
    )


@router.get("/accounts")
def accounts(request: Request, principal: Principal = Admin) -> Response:
    """Every account."""
    return _accounts(request)


@router.post("/accounts")
def create_account(
    request: Request,
    name: Text,
    password: Text,
    role: Text,
    sites: Text = "",
    principal: Principal = Admin,
) -> Response:
    """Make an account."""
    try:
        body = AccountBody.model_validate(
            {"name": name, "password": password, "role": role, "sites": _sites(sites)}
        )
        if problem := password_problem(body.password):
            return _accounts(request, problem, 400)
        scope = None if body.sites is None else frozenset(body.sites)
        services(request).accounts.create(body.name, body.password, body.role, scope)
    except (ValidationError, TocsinError) as error:
        return _accounts(request, _told(error), 400)
    return RedirectResponse("/accounts", status_code=303)


@router.post("/accounts/{account}")
def change_account(
    request: Request,
    account: int,
    role: Text,
    sites: Text = "",
    password: Text = "",
    disabled: Text = "",
    principal: Principal = Admin,
) -> Response:
    """Change an account."""
    try:
        body = AccountChange.model_validate(
            {
                "role": role,
                "sites": _sites(sites),
                "disabled": bool(disabled),
                "password": password or None,
            }
        )
        if body.password and (problem := password_problem(body.password)):
            return _accounts(request, problem, 400)
        services(request).accounts.change(
            account,
            role=body.role,
            sites=None if body.sites is None else frozenset(body.sites),
            disabled=body.disabled,
            password=body.password,
        )
    except (ValidationError, TocsinError) as error:
        return _accounts(request, _told(error), 400)
    return RedirectResponse("/accounts", status_code=303)


def _told(error: ValidationError | TocsinError) -> str:
    if isinstance(error, TocsinError):
        return error.message
    # never echo the input: it may hold a password
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
