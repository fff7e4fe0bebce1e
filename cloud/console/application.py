"""Add the pages to the API's application."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.errors import error_response, problem_of, status_of
from cloud.console import (
    admin,
    camera_pages,
    factor_pages,
    forms,
    gateway_pages,
    ledger_edit,
    ledger_pages,
    letter_pages,
    lock_pages,
    pages,
    permit_forms,
    permit_pages,
    unlock,
)
from cloud.console.render import STATIC, page
from tocsin.errors import IdentityError, IdentityReason, TocsinError

CSP = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
WORKER = "/static/js/worker.js"  # serves the pages of permits where there is no network, so it works above its own folder
ROOMS = (
    pages, camera_pages, gateway_pages, letter_pages, ledger_pages, ledger_edit, lock_pages, permit_pages, permit_forms, unlock, factor_pages, forms, admin,
)  # fmt: skip
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}


def add_console(app: FastAPI) -> FastAPI:
    """Pages, static files and the headers that keep a page to its own origin."""
    for room in ROOMS:
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.state.error_page = error_page  # the gate's refusals, which no handler sees
    for kind in (TocsinError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _page_or_json)
    app.add_middleware(Armour)
    return app


async def _page_or_json(request: Request, error: Exception) -> Response:
    problem, path = problem_of(error), request.url.path
    status = error.status_code if isinstance(error, HTTPException) else status_of(problem)
    if "text/html" not in request.headers.get("accept", "") or path.startswith("/api/"):
        answer: Response = error_response(problem, path)
        answer.status_code = status
        return answer
    return error_page(request, problem, status)


def error_page(request: Request, error: TocsinError, status: int = 0) -> Response:
    """What went wrong, for people; a page that failed for want of the ingest process tries again by itself."""
    status = status or status_of(error)
    key = {404: "error.not_found", 403: "error.forbidden", 503: "error.spine"}.get(status, "")
    if isinstance(error, IdentityError) and error.reason is IdentityReason.CSRF:
        key = "error.csrf"
    again = status == 503 and request.method == "GET"
    return page(request, "error.html", status=status, key=key, message=error.message, again=again)


class Armour:
    """ASGI middleware: security headers on every answer, long caching for vendored files."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]

        async def armoured(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = dict(HEADERS)
                if path.startswith("/static/vendor/"):
                    extra["cache-control"] = "public, max-age=31536000, immutable"
                elif path.startswith("/static/"):
                    extra["cache-control"] = "no-cache"
                if path == WORKER:
                    extra["service-worker-allowed"] = "/"
                message["headers"] = [
                    *message.get("headers", []),
                    *((k.encode(), v.encode()) for k, v in extra.items()),
                ]
            await send(message)

        await self._app(scope, receive, armoured)
