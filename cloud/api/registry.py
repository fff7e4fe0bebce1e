"""The registry over HTTP."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request

from cloud.api.gate import Reader, allow, need_site
from cloud.api.models import EditBody, Id, RegistryBody, ReplacementBody, registry_body
from cloud.api.services import services
from cloud.identity.rules import Action, Principal, sees
from cloud.registry import Edit, Replacement
from tocsin.contract.topics import is_name
from tocsin.errors import BadRequestError

router = APIRouter(prefix="/api/v1/registry", tags=["registry"])
Editor = Depends(allow(Action.REGISTRY))


@router.get("")
async def entries(request: Request, principal: Principal = Reader) -> list[RegistryBody]:
    """Every device of the registry."""
    found = await asyncio.to_thread(services(request).registry.devices)
    return [registry_body(d) for d in found if sees(principal, d.site)]


@router.get("/{site}/{device}")
async def entry(
    request: Request, site: str, device: str, principal: Principal = Reader
) -> RegistryBody:
    """One device of the registry, with the history of its hardware."""
    need_site(principal, site)
    return registry_body(await asyncio.to_thread(services(request).registry.get, site, device))


@router.put("/{site}/{device}")
async def edit(
    request: Request, site: Id, device: Id, body: EditBody, principal: Principal = Editor
) -> RegistryBody:
    """Set what a person enters; makes the device if it is new."""
    need_site(principal, site)
    if not (is_name(site) and is_name(device)):
        raise BadRequestError("site and device: 1-64 of a-z 0-9 . _ -")
    parts = services(request)
    done = await asyncio.to_thread(parts.registry.edit, site, device, Edit(**body.model_dump()))
    await parts.spine.call("registry_changed")
    return registry_body(done)


@router.post("/{site}/{device}/hardware", status_code=201)
async def replace(
    request: Request, site: Id, device: Id, body: ReplacementBody, principal: Principal = Editor
) -> RegistryBody:
    """Put another instrument in place; the history of the old one stays."""
    need_site(principal, site)
    parts = services(request)
    done = await asyncio.to_thread(
        parts.registry.replace_hardware, site, device, Replacement(**body.model_dump())
    )
    await parts.spine.call("registry_changed")
    return registry_body(done)
