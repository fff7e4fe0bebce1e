"""The ledger that permits stand on: spaces, instruments, who is trained and fit; rule packs and hazard templates to read."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from cloud.api.gate import Reader, allow, need_site
from cloud.api.models import Body, Id
from cloud.api.permit_bodies import Line, Lines, Ns, PhotoTold, Sha256
from cloud.api.persons import person_of
from cloud.api.services import Services, services
from cloud.identity.rules import Action, Principal, sees
from cloud.permits.ledger import Qualified
from tocsin.permits.context import Instrument
from tocsin.permits.space import Live, Space

router = APIRouter(prefix="/api/v1/permit-ledger", tags=["permits"])
Editor = Depends(allow(Action.REGISTRY))


class LiveBody(Body):
    """Where the gateway finds what it watches; empty: there is none."""

    gas_devices: Lines = Field(default=(), description="Device ids.")
    ventilation: Line = Field(default="", description="device/quantity of the running signal.")
    siren: Line = Field(default="", description="device/quantity of the siren's output.")


class SpaceBody(Body):
    """One space."""

    gateway: Id
    name: Line
    template: Id = Field(description="Hazard template it usually has.")
    rules: Id = Field(description="Rule pack.")
    code: Line = Field(default="", description="What the QR label at the space says.")
    former_contents: Line = ""
    locks: Lines = Field(default=(), description="Device ids of its locks.")
    near: Lines = Field(default=(), description="Spaces whose work is a conflict here.")
    live: LiveBody = LiveBody()


class InstrumentBody(Body):
    """A gas detector."""

    calibrated_ns: Ns = Field(description="Last calibration.")
    calibrated_until_ns: Ns = Field(description="The maker's date; the rules may say earlier.")
    bumped_ns: Ns = Field(description="Last bump test.")
    device: Line = Field(default="", description="Its device id where it is also watched live.")


class QualifiedBody(Body):
    """How long somebody's training and medical examination count."""

    trained_until_ns: Ns
    fit_until_ns: Ns


@router.get("/spaces")
def spaces(request: Request, principal: Principal = Reader) -> list[dict[str, Any]]:
    """Spaces of the caller's sites."""
    found = services(request).permits.ledger.all(Space)
    return [msgspec.to_builtins(s) for s in found if sees(principal, s.site)]


@router.put("/spaces/{site}/{space}")
def put_space(
    request: Request, site: Id, space: Id, body: SpaceBody, principal: Principal = Editor
) -> dict[str, Any]:
    """Enter a space, or change it; permits under way keep what they began with."""
    need_site(principal, site)
    entered = enter_space(services(request), site, space, body, principal.name)
    return dict(msgspec.to_builtins(entered))


def enter_space(parts: Services, site: str, space: str, body: SpaceBody, by: str) -> Space:
    """As it is in the ledger now.

    Raises:
        NotFoundError: there is no such rule pack or template.
    """
    parts.permits.packs.pack(body.rules)
    parts.permits.packs.template(body.template)
    told = body.model_dump(exclude={"live", "locks", "near"})
    live = Live(tuple(body.live.gas_devices), body.live.ventilation, body.live.siren)
    entered = Space(
        id=space, site=site, locks=tuple(body.locks), near=tuple(body.near), live=live, **told
    )
    parts.permits.ledger.put(site, space, entered, by)
    return entered


@router.get("/changes")
def changes(request: Request, principal: Principal = Reader) -> list[dict[str, Any]]:
    """Who changed spaces, instruments, people and roles: the newest 100, each with what was there before."""
    found = services(request).permits.ledger.changes(principal.sites)
    return [msgspec.to_builtins(k) for k in found]


@router.get("/instruments/{site}")
def instruments(request: Request, site: Id, principal: Principal = Reader) -> list[dict[str, Any]]:
    """Gas detectors of a site."""
    need_site(principal, site)
    return [msgspec.to_builtins(i) for i in services(request).permits.ledger.all(Instrument, site)]


@router.put("/instruments/{site}/{instrument}")
def put_instrument(
    request: Request, site: Id, instrument: Id, body: InstrumentBody, principal: Principal = Editor
) -> dict[str, Any]:
    """Enter a detector with its calibration and newest bump test."""
    need_site(principal, site)
    entered = Instrument(id=instrument, **body.model_dump())
    services(request).permits.ledger.put(site, instrument, entered, principal.name)
    return dict(msgspec.to_builtins(entered))


@router.get("/people/{site}")
def people(request: Request, site: Id, principal: Principal = Reader) -> list[dict[str, Any]]:
    """Who is trained and fit, and how long."""
    need_site(principal, site)
    return [msgspec.to_builtins(p) for p in services(request).permits.ledger.all(Qualified, site)]


@router.put("/people/{site}/{account}")
def put_person(
    request: Request, site: Id, account: Id, body: QualifiedBody, principal: Principal = Editor
) -> dict[str, Any]:
    """Enter how long somebody's training and medical examination count at a site."""
    need_site(principal, site)
    entered = Qualified(account=account, **body.model_dump())
    services(request).permits.ledger.put(site, account, entered, principal.name)
    return dict(msgspec.to_builtins(entered))


@router.get("/templates")
def templates(request: Request, principal: Principal = Reader) -> list[dict[str, Any]]:
    """Hazard templates: isolations, gases, depths, checklist."""
    found = services(request).permits.packs.templates
    return [msgspec.to_builtins(found[name]) for name in sorted(found)]


@router.get("/rules")
def rules(request: Request, principal: Principal = Reader) -> list[dict[str, Any]]:
    """Rule packs: every row with its citation and whether it was checked against the full text."""
    found = services(request).permits.packs.rules
    return [msgspec.to_builtins(found[name]) for name in sorted(found)]


@router.post("/photos/{site}", status_code=201)
async def put_photo(request: Request, site: Id, principal: Principal = Reader) -> PhotoTold:
    """Keep a picture: the body is the JPEG, PNG or WebP itself, at most 4 MiB. Permits name it by its SHA-256."""

    need_site(principal, site)
    me = person_of(principal)
    data = await request.body()
    kept = await asyncio.to_thread(services(request).permits.photos.keep, site, data, me.name)
    return PhotoTold.model_validate({n: getattr(kept, n) for n in kept.__slots__})


@router.get("/photos/{site}/{sha256}")
def photo(request: Request, site: Id, sha256: Sha256, principal: Principal = Reader) -> Response:
    """A picture."""
    need_site(principal, site)
    photos = services(request).permits.photos
    kept = photos.get(sha256, site)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=31536000"}
    return Response(photos.read(sha256), media_type=f"image/{kept.type}", headers=headers)
