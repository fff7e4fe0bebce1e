"""Add the pages to the API's application."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.errors import error_response, status_of
from cloud.console import admin, forms, pages
from cloud.console.render import STATIC, page
from tocsin.errors import TocsinError

CSP = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}


def add_console(app: FastAPI) -> FastAPI:
    """Pages, static files and the headers that keep a page to its own origin."""
    for room in (pages, forms, admin):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(TocsinError, _page_or_json)
    app.add_middleware(Armour)
    return app


async def _page_or_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError)  # noqa: S101 - registered for this class alone
    path = request.url.path
    if "text/html" not in request.headers.get("accept", "") or path.startswith("/api/"):
        return error_response(error, path)
    status = status_of(error)
    key = {404: "error.not_found", 403: "error.forbidden", 503: "error.spine"}.get(status, "")
    return page(request, "error.html", status=status, key=key, message=error.message)


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
                message["headers"] = [
                    *message.get("headers", []),
                    *((k.encode(), v.encode()) for k, v in extra.items()),
                ]
            await send(message)

        await self._app(scope, receive, armoured)
