"""Configurations for gateways: send, follow, take back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from cloud.api.gate import allow
from cloud.api.models import ConfigBody, ConfigFull, ConfigTold, WithdrawBody
from cloud.api.rows import row_of, rows_of
from cloud.api.services import services
from cloud.identity.rules import Action, Principal

router = APIRouter(prefix="/api/v1/gateways/{gateway}/configs", tags=["gateways"])
Ops = Depends(allow(Action.OPS))
Version = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("")
async def configs(
    request: Request,
    gateway: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    principal: Principal = Ops,
) -> list[ConfigTold]:
    """What a gateway was sent, newest first, and what became of it."""
    answer = await services(request).spine.call("configs", gateway=gateway, limit=limit)
    return [ConfigTold.model_validate(row) for row in rows_of(answer)]


@router.get("/{version}")
async def config(
    request: Request, gateway: str, version: Version, principal: Principal = Ops
) -> ConfigFull:
    """One version with its text."""
    row = await services(request).spine.call("config", gateway=gateway, version=version)
    return ConfigFull.model_validate(row_of(row))


@router.post("", status_code=202)
async def push(
    request: Request, gateway: str, body: ConfigBody, principal: Principal = Ops
) -> ConfigTold:
    """Send a whole gateway.toml. It is on its way (202); the gateway judges it, tries it, and tells. Follow it by its version."""
    row = await services(request).spine.call(
        "config_push",
        gateway=gateway,
        toml=body.toml,
        actor=principal.name,
        version=body.version,
        expires_s=body.expires_s,
    )
    return ConfigTold.model_validate(row_of(row))


@router.post("/withdraw", status_code=202)
async def withdraw(
    request: Request, gateway: str, body: WithdrawBody, principal: Principal = Ops
) -> ConfigTold:
    """Have the gateway take its own file again."""
    row = await services(request).spine.call(
        "config_push",
        gateway=gateway,
        toml="",
        actor=principal.name,
        version=None,
        expires_s=body.expires_s,
    )
    return ConfigTold.model_validate(row_of(row))
