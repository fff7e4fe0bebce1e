"""Whether everything the gateways took is stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from cloud.api.gate import Reader
from cloud.api.models import Completeness, CompletenessFull
from cloud.api.rows import Row, row_of, rows_of, text, within
from cloud.api.services import Services, services
from cloud.identity.rules import Principal, sees
from tocsin.errors import BadRequestError, NotFoundError

router = APIRouter(prefix="/api/v1", tags=["gateways"])
From = Annotated[
    int | None, Query(ge=0, lt=2**63, description="Start, Unix ns; default the beginning")
]
To = Annotated[int | None, Query(ge=0, lt=2**63, description="End, Unix ns; default now")]


@router.get("/completeness")
async def completeness(
    request: Request, from_ns: From = None, to_ns: To = None, principal: Principal = Reader
) -> list[Completeness]:
    """Every gateway: what is stored, what is still there, what is missing."""
    _check(from_ns, to_ns)
    rows = await services(request).spine.call("completeness", from_ns=from_ns, to_ns=to_ns)
    return [Completeness.model_validate(r) for r in within(principal, rows_of(rows))]


@router.get("/gateways/{gateway}/completeness")
async def of_gateway(
    request: Request,
    gateway: str,
    from_ns: From = None,
    to_ns: To = None,
    principal: Principal = Reader,
) -> CompletenessFull:
    """One gateway, gap by gap with the reason of each."""
    _check(from_ns, to_ns)
    found = await audit_of(services(request), principal, gateway, from_ns, to_ns)
    return CompletenessFull.model_validate(found)


async def audit_of(
    parts: Services,
    principal: Principal,
    gateway: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> Row:
    """One gateway the caller sees.

    Raises:
        NotFoundError: there is none, or it is at a site the caller does not see.
    """
    unknown = NotFoundError(
        f"there is no gateway {gateway!r}, or it is not at one of your sites",
        hint="GET /api/v1/completeness, or `tocsin audit`, lists those you see",
    )
    try:
        told = await parts.spine.call("audit", gateway=gateway, from_ns=from_ns, to_ns=to_ns)
    except NotFoundError as exc:
        raise unknown from exc
    found = row_of(told)
    if not sees(principal, text(found, "site")):
        raise unknown
    return found


def _check(from_ns: int | None, to_ns: int | None) -> None:
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise BadRequestError("from_ns must be before to_ns, both Unix nanoseconds")
