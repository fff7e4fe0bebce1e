"""For ops staff: dead letters and counters; and whether the web process is alive."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from cloud.api.gate import allow
from cloud.api.rows import Row, row_of, rows_of
from cloud.api.services import services
from cloud.identity.rules import Action, Principal

router = APIRouter(tags=["operations"])
Ops = Depends(allow(Action.OPS))


@router.get("/healthz")
def alive() -> dict[str, str]:
    """Whether the web process answers; needs no credentials and says nothing else."""
    return {"status": "pass"}


@router.get("/api/v1/deadletters")
async def deadletters(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    principal: Principal = Ops,
) -> list[dict[str, object]]:
    """Messages that could not be stored, newest first, each with its reason."""
    return [
        dict(r) for r in rows_of(await services(request).spine.call("deadletters", limit=limit))
    ]


@router.get("/api/v1/deadletters/{letter}")
async def deadletter(
    request: Request, letter: Annotated[int, Path(ge=0, lt=2**63)], principal: Principal = Ops
) -> dict[str, object]:
    """One of them with its bytes."""
    return _hexed(row_of(await services(request).spine.call("deadletter", id=letter)))


@router.get("/api/v1/counters")
async def counters(request: Request, principal: Principal = Ops) -> dict[str, object]:
    """Everything the cloud counts."""
    return dict(row_of(await services(request).spine.call("counters")))


def _hexed(row: Row) -> dict[str, object]:
    return {k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()}
