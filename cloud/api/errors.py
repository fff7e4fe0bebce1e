"""Errors over HTTP: one envelope, the right status, never 500 for bad input."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from tocsin.errors import (
    AlarmRefusal,
    AlarmRefusedError,
    BadRequestError,
    CommandRefusedError,
    IdentityError,
    IdentityReason,
    LockKeyError,
    NotFoundError,
    PermitRefusedError,
    QueryError,
    QueryReason,
    SpineError,
    StoreRejectedError,
    StoreUnavailableError,
    TocsinError,
    WireError,
)

_IDENTITY = {
    IdentityReason.NO_CREDENTIALS: 401,
    IdentityReason.BAD_CREDENTIALS: 401,
    IdentityReason.EXPIRED: 401,
    IdentityReason.NOT_ALLOWED: 403,
    IdentityReason.OUT_OF_SITE: 403,
    IdentityReason.CSRF: 403,
    IdentityReason.LOCKED_OUT: 429,
    IdentityReason.NO_SECOND_FACTOR: 403,
    IdentityReason.BAD_CODE: 403,
}
_QUERY = {
    QueryReason.FORBIDDEN: 403,
    QueryReason.TIME_LIMIT: 408,
    QueryReason.MEMORY_LIMIT: 413,
    QueryReason.ROW_LIMIT: 413,
    QueryReason.FAILED: 422,
}
_CLASSES: dict[type[TocsinError], int] = {
    NotFoundError: 404,
    BadRequestError: 400,
    CommandRefusedError: 409,
    PermitRefusedError: 409,
    LockKeyError: 409,
    StoreUnavailableError: 503,
    SpineError: 503,
    StoreRejectedError: 422,
    WireError: 400,
}
_WORDS = {404: "there is nothing at this address", 405: "this address takes another method"}


def status_of(error: TocsinError) -> int:
    """HTTP status of an error."""
    if isinstance(error, IdentityError):
        return _IDENTITY[error.reason]
    if isinstance(error, QueryError):
        return _QUERY.get(error.reason, 400)
    if isinstance(error, AlarmRefusedError):
        return 404 if error.reason is AlarmRefusal.UNKNOWN_ALARM else 409
    return next((s for kind, s in _CLASSES.items() if isinstance(error, kind)), 500)


def error_response(error: TocsinError, path: str) -> JSONResponse:
    """The envelope; on InfluxDB's paths also the fields its clients read."""
    body: dict[str, object] = {"error": error.as_dict()}
    if (reason := getattr(error, "reason", None)) is not None:
        body = {"error": {**error.as_dict(), "reason": str(reason)}}
    status = status_of(error)
    if path.startswith("/api/v2/"):
        body |= {"code": _INFLUX_CODES.get(status, "internal error"), "message": error.message}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(body, status, headers)


_INFLUX_CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    413: "request too large",
    422: "unprocessable entity",
    429: "too many requests",
    503: "unavailable",
}


def problem_of(error: Exception) -> TocsinError:
    """Validation and routing in our own words; an error of ours is itself."""
    if isinstance(error, TocsinError):
        return error
    if isinstance(error, RequestValidationError):
        told = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:20]
        )
        hint = "/api/v1/openapi.json describes every request"
        if any(
            e["loc"] == ("body",) and e["type"] == "model_attributes_type" for e in error.errors()
        ):
            hint = "send a JSON object, with the header Content-Type: application/json"
        return BadRequestError(told, hint=hint)
    assert isinstance(error, HTTPException)  # noqa: S101 - nothing else is registered
    told = _WORDS.get(error.status_code, str(error.detail))
    return NotFoundError(told) if error.status_code == 404 else BadRequestError(told)


def install(app: FastAPI) -> None:
    """Answer every error of ours, of validation and of routing in the one envelope."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, TocsinError)  # noqa: S101 - registered for this class alone
        return error_response(error, request.url.path)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        return error_response(problem_of(error), request.url.path)

    async def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
        answer = error_response(problem_of(error), request.url.path)
        answer.status_code = error.status_code
        return answer

    app.add_exception_handler(TocsinError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, routing)
