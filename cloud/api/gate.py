"""The one door: every request proves who it is here, before any route is looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.errors import error_response
from cloud.api.services import Services
from cloud.identity.rules import Action, Principal, may, sees
from cloud.identity.secrets import same
from tocsin.errors import BadRequestError, IdentityError, IdentityReason, NotFoundError, TocsinError

COOKIE = "tocsin_session"
CSRF_HEADER = "x-csrf-token"
OPEN_PATHS = frozenset({"/login", "/setup", "/healthz", "/language"})
OPEN_PREFIX = "/static/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_FORM_BYTES = 65_536
MAX_BODY_BYTES = 16 << 20


class Gate:
    """ASGI middleware. Nothing but `OPEN_PATHS` and static files passes without credentials."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no WebSockets here
        path = scope["path"]
        headers = Headers(scope=scope)
        is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIX)
        try:
            if scope["method"] not in SAFE_METHODS:
                same_origin(headers)
            receive = bounded(headers, receive, MAX_FORM_BYTES if is_open else MAX_BODY_BYTES)
            if not is_open:
                principal = await self.principal(headers)
                scope.setdefault("state", {})["principal"] = principal
                if principal.kind == "session" and scope["method"] not in SAFE_METHODS:
                    receive = await check_csrf(principal, headers, receive)
        except TocsinError as error:
            await refusal(error, scope, headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def principal(self, headers: Headers) -> Principal:
        """Who asks.

        Raises:
            IdentityError: no credentials, or ones that are not (or no longer) valid.
        """
        return await asyncio.to_thread(principal_of, self._services, headers)


def principal_of(services: Services, headers: Headers) -> Principal:
    """Token before cookie; `Bearer` and InfluxDB's `Token` mean the same."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() not in ("bearer", "token") or not secret.strip():
            raise IdentityError(
                IdentityReason.BAD_CREDENTIALS,
                "this Authorization header is not understood",
                hint="Authorization: Bearer TOKEN",
            )
        found = services.tokens.principal(secret.strip())
        if found is None:
            raise IdentityError(
                IdentityReason.BAD_CREDENTIALS,
                "this token is unknown, revoked or expired",
                hint="`tocsin token list` shows the living ones",
            )
        return found
    cookie = session_cookie(headers)
    if cookie is None:
        raise IdentityError(
            IdentityReason.NO_CREDENTIALS,
            "this needs a log-in or a token",
            hint="Authorization: Bearer TOKEN (`tocsin token create` makes one)",
        )
    found = services.sessions.principal(cookie)
    if found is None:
        raise IdentityError(IdentityReason.EXPIRED, "the session has ended", hint="log in again")
    return found


def session_cookie(headers: Headers) -> str | None:
    """The session secret a browser sent."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def same_origin(headers: Headers) -> None:
    """Refuse what another site's page sends (a browser names the page's origin)."""
    origin = headers.get("origin")
    if origin and urlsplit(origin).netloc != headers.get("host", ""):
        raise IdentityError(IdentityReason.CSRF, f"a page of {origin} may not do this here")


def bounded(headers: Headers, receive: Receive, limit_bytes: int) -> Receive:
    """`receive`, which ends a body at `limit_bytes`: the framework would keep all of it in memory.

    Raises:
        BadRequestError: the request says itself that it is longer.
    """
    too_large = BadRequestError(f"more than {limit_bytes} bytes", hint="send smaller requests")
    said = headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > limit_bytes:
        raise too_large
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit_bytes:
            raise too_large
        return message

    return counted


async def check_csrf(principal: Principal, headers: Headers, receive: Receive) -> Receive:
    """Demand the session's token in a header or a form field; the body read for it is given back."""
    sent = headers.get(CSRF_HEADER, "")
    if not sent and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = await _read(receive)
        sent = parse_qs(body.decode("utf-8", "replace")).get("csrf", [""])[0]
        receive = _replay(body, receive)
    if not same(sent, principal.csrf):
        raise IdentityError(
            IdentityReason.CSRF, "this form is out of date", hint="load the page again"
        )
    return receive


async def _read(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_FORM_BYTES:
            raise BadRequestError(f"a form of more than {MAX_FORM_BYTES} bytes")
        more = bool(message.get("more_body", False))
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def refusal(error: TocsinError, scope: Scope, headers: Headers) -> Response:
    """People are sent to the log-in page, programs get the error."""
    path: str = scope["path"]
    unknown = isinstance(error, IdentityError) and error.reason in (
        IdentityReason.NO_CREDENTIALS,
        IdentityReason.EXPIRED,
    )
    page = "text/html" in headers.get("accept", "") and not path.startswith("/api/")
    if unknown and page:
        back = path if scope["method"] == "GET" else came_from(headers)
        return RedirectResponse(f"/login?next={quote(back)}", status_code=303)
    shown = getattr(scope["app"].state, "error_page", None) if page else None
    return error_response(error, path) if shown is None else shown(Request(scope), error)


def came_from(headers: Headers) -> str:
    """The page a form was on, if it was one of ours."""
    page = urlsplit(headers.get("referer", ""))
    return page.path if page.path and page.netloc == headers.get("host", "") else "/"


def allow(action: Action) -> Callable[[Request], Principal]:
    """The dependency every route names: the caller, who may do this."""

    def check(request: Request) -> Principal:
        principal = request.state.principal
        assert isinstance(principal, Principal)  # noqa: S101 - the gate is in front of every route
        if not may(principal, action):
            everywhere = principal.sites is not None and action in principal.actions
            raise IdentityError(
                IdentityReason.OUT_OF_SITE if everywhere else IdentityReason.NOT_ALLOWED,
                f"{principal.name} may not do this ({action.value})"
                + (": it reaches across sites" if everywhere else ""),
                hint="an admin sets roles and sites under Accounts",
            )
        return principal

    check.action = action  # type: ignore[attr-defined]  # read by the test that walks every route
    return check


def need_site(principal: Principal, site: str) -> None:
    """Refuse a site outside the caller's scope exactly as one that does not exist."""
    if not sees(principal, site):
        raise NotFoundError(f"there is no site {site!r}, or it is not one of yours")


Reader = Depends(allow(Action.READ))
