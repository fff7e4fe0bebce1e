"""Models for the cameras of gateways: send, follow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from cloud.api.gate import allow
from cloud.api.models import ModelBody, ModelTold
from cloud.api.rows import row_of, rows_of
from cloud.api.services import services
from cloud.identity.rules import Action, Principal

router = APIRouter(prefix="/api/v1/gateways/{gateway}/models", tags=["gateways"])
Ops = Depends(allow(Action.OPS))


@router.get("")
async def models(
    request: Request,
    gateway: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    principal: Principal = Ops,
) -> list[ModelTold]:
    """What models a gateway was sent, newest first, and what became of them."""
    answer = await services(request).spine.call("models", gateway=gateway, limit=limit)
    return [ModelTold.model_validate(row) for row in rows_of(answer)]


@router.post("", status_code=202)
async def push(
    request: Request, gateway: str, body: ModelBody, principal: Principal = Ops
) -> ModelTold:
    """Send a model. It is on its way (202); the gateway checks it, tries it, and tells."""
    row = await services(request).spine.call(
        "model_push",
        gateway=gateway,
        toml=body.toml,
        files=body.files,
        actor=principal.name,
        expires_s=body.expires_s,
    )
    return ModelTold.model_validate(row_of(row))
