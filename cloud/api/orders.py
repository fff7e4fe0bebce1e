"""Commands to devices: send, confirm, follow."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from cloud.api.gate import Reader, allow, need_site
from cloud.api.models import CommandBody, CommandTold, ConfirmBody
from cloud.api.rows import Row, row_of, rows_of, text, within
from cloud.api.services import Services, services
from cloud.identity.rules import Action, Principal, sees
from tocsin.errors import NotFoundError

router = APIRouter(prefix="/api/v1", tags=["commands"])
Commander = Depends(allow(Action.COMMANDS))
Limit = Annotated[int, Query(ge=1, le=10_000)]


async def order_in_scope(parts: Services, principal: Principal, command: str) -> Row:
    """One command.

    Raises:
        NotFoundError: no such command, or at a site the caller does not see.
    """
    row = row_of(await parts.spine.call("command", command=command))
    if not sees(principal, text(row, "site")):
        raise NotFoundError(f"there is no command {command!r}")
    return row


@router.get("/commands")
async def commands(
    request: Request, limit: Limit = 100, principal: Principal = Reader
) -> list[CommandTold]:
    """Commands to devices, newest first."""
    found = rows_of(await services(request).spine.call("commands", limit=limit))
    return [CommandTold.model_validate(r) for r in within(principal, found)]


@router.get("/commands/{command}")
async def command(request: Request, command: str, principal: Principal = Reader) -> CommandTold:
    """One command and what is known of it."""
    row = await order_in_scope(services(request), principal, command)
    return CommandTold.model_validate(row)


@router.get("/devices/{site}/{device}/commands")
async def of_device(
    request: Request, site: str, device: str, limit: Limit = 100, principal: Principal = Reader
) -> list[CommandTold]:
    """Commands to one device, newest first."""
    need_site(principal, site)
    answer = await services(request).spine.call("commands", site=site, device=device, limit=limit)
    return [CommandTold.model_validate(r) for r in within(principal, rows_of(answer))]


@router.post("/devices/{site}/{device}/commands", status_code=202)
async def give(
    request: Request, site: str, device: str, body: CommandBody, principal: Principal = Commander
) -> CommandTold:
    """Tell a device something. It is on its way (202); follow it by its id, or by the event `command`."""
    need_site(principal, site)
    row = await services(request).spine.call(
        "command_give",
        site=site,
        device=device,
        name=body.name,
        args=body.args,
        actor=principal.name,
        expires_s=body.expires_s,
    )
    return CommandTold.model_validate(row_of(row))


@router.post("/commands/{command}/confirm", status_code=202)
async def confirm(
    request: Request, command: str, body: ConfirmBody, principal: Principal = Commander
) -> CommandTold:
    """Confirm a command that waits for it (409 when it does not). The answer is the confirmation, a command of its own."""
    parts = services(request)
    await order_in_scope(parts, principal, command)
    row = await parts.spine.call(
        "command_confirm", command=command, actor=principal.name, expires_s=body.expires_s
    )
    return CommandTold.model_validate(row_of(row))
