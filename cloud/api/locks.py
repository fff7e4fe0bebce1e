"""Keys that grants need: people's phones, locks, gateways, and the issuer's own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from cloud.api.gate import Reader, allow, need_site
from cloud.api.models import Body, Id, Told
from cloud.api.permit_calls import spine_call
from cloud.api.persons import Code, Person, need_factor, need_role, person_of
from cloud.api.services import services
from cloud.identity.permit_roles import PermitRole
from cloud.identity.rules import Action, Principal
from cloud.permits.holders import HolderKey
from tocsin.grants.ids import id_of

router = APIRouter(prefix="/api/v1", tags=["locks"])
Admin = Depends(allow(Action.ADMIN))
MAY_REVOKE = (PermitRole.TECHNICIAN, PermitRole.APPROVER)

Hex8 = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="8 bytes in hex.")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="32 bytes in hex.")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$", description="64 bytes in hex.")]


class HolderBody(Body):
    """A phone's own key."""

    public: Hex32 = Field(description="Ed25519 public key.")
    proof: Hex64 = Field(description='Its signature over "HOLD1" and the account\'s name.')
    name: str = Field(min_length=1, max_length=64, description="Of the phone, for its owner.")


class HolderTold(Told):
    """A phone's key; grants carry `holder`."""

    holder: str
    account: str
    public: str
    name: str
    registered_ns: int
    revoked_ns: int | None


class LockBody(Body):
    """What is on the card that came with a lock. The key is sealed at once and never told again."""

    lock: Hex8
    key: Hex32
    site: Id
    device: Id
    profile: Literal["A", "B"]
    code: Code


class CodeBody(Body):
    """A second factor."""

    code: Code


Reason = Annotated[str, Field(max_length=200, description="Why; it stays beside who did it.")]


class ReasonBody(CodeBody):
    """A second factor, and why."""

    reason: Reason = ""


class SwitchBody(ReasonBody):
    """Whether to leave locks behind."""

    force: bool = Field(
        default=False, description="Also where locks have not taken the key: they open no more."
    )


class RevokeBody(ReasonBody):
    """How far to revoke."""

    gateways_too: bool = Field(default=False, description="Gateway keys of this lock as well.")


class LockTold(Told):
    """A lock without its key. Grants numbered below `min_ctr` are void."""

    lock: str
    site: str
    device: str
    profile: str
    next_ctr: int
    min_ctr: int
    epoch: int
    changed_ns: int
    changed_by: str


class GatewayKeyBody(Body):
    """What secrets for a gateway are sealed to."""

    public: Hex32 = Field(description="X25519 public key.")


class GatewayKeyChange(GatewayKeyBody):
    """Secrets are sealed to it from now on, so it takes the second factor."""

    code: Code


class GatewayBody(CodeBody):
    """For which gateway."""

    gateway: Id


class GatewayKeysTold(Told):
    """As `[[drivers]]` of type `lock` has them."""

    lock_id: str
    gateway_id: str
    key: str
    advert_key: str
    issuers: dict[str, str]


class IssuerTold(Told):
    """A key that signs grants. `issues_ns` null: locks take it in; `retired_ns`: they forget it."""

    kid: str
    public: str
    made_ns: int
    issues_ns: int | None
    retired_ns: int | None


class ChangeTold(Told):
    """What somebody did to keys. `about`: site/device of a lock, or an issuer key."""

    id: str
    at_ns: int
    by: str
    what: str
    about: str
    site: str = ""
    reason: str = ""


@router.get("/me/keys")
def my_keys(request: Request, principal: Principal = Reader) -> list[HolderTold]:
    """The caller's phones."""
    me = person_of(principal)
    return [holder_told(k) for k in services(request).permits.holders.of(me.name)]


@router.post("/me/keys", status_code=201)
def add_key(request: Request, body: HolderBody, principal: Principal = Reader) -> HolderTold:
    """Register a phone: grants are bound to its key, which never leaves it."""
    me = person_of(principal)
    public, proof = bytes.fromhex(body.public), bytes.fromhex(body.proof)
    return holder_told(
        services(request).permits.holders.register(me.name, public, proof, body.name)
    )


@router.delete("/me/keys/{holder}")
async def end_key(request: Request, holder: Hex8, principal: Principal = Reader) -> HolderTold:
    """End a lost phone: it gets no more grants, and those it has are void. Gateways refuse them at once, locks as soon as they are told."""
    holders = services(request).permits.holders
    ended = await run_in_threadpool(holders.revoke, holder, person_of(principal).name)
    for site in await run_in_threadpool(holders.sites_of, holder):
        await spine_call(request, "permit_retell", site=site)
    return holder_told(ended)


@router.get("/locks")
def locks(request: Request, principal: Principal = Reader) -> list[LockTold]:
    """Commissioned locks of the caller's sites."""
    found = services(request).permits.locks.all()
    return [
        LockTold(**asdict(k)) for k in found if principal.sites is None or k.site in principal.sites
    ]


@router.post("/locks", status_code=201)
def commission(request: Request, body: LockBody, principal: Principal = Reader) -> LockTold:
    """Take a lock in; a technician of the site does, with the second factor."""
    me = _technician(request, principal, body.site)
    need_factor(request, me, body.code)
    made = services(request).permits.locks.commission(
        bytes.fromhex(body.lock),
        bytes.fromhex(body.key),
        site=body.site,
        device=body.device,
        profile=body.profile,
        by=me.name,
    )
    return LockTold(**asdict(made))


@router.post("/locks/{lock}/revoke")
def revoke(
    request: Request, lock: Hex8, body: RevokeBody, principal: Principal = Reader
) -> LockTold:
    """Void every grant issued for a lock so far; approvers and technicians of its site may."""
    parts = services(request).permits
    site = parts.locks.get(lock).site
    need_site(principal, site)
    me = person_of(principal)
    need_role(request, me, site, *MAY_REVOKE)
    need_factor(request, me, body.code)
    (told,) = parts.keys.revoke([lock], me.name, body.reason, gateways_too=body.gateways_too)
    return LockTold(**asdict(told))


@router.post("/locks/{lock}/gateway-keys")
def gateway_keys(
    request: Request, lock: Hex8, body: GatewayBody, principal: Principal = Reader
) -> GatewayKeysTold:
    """What a technician enters at a gateway for a lock. It proves the lock to the gateway and opens nothing."""
    parts = services(request).permits
    site = parts.locks.get(lock).site
    me = _technician(request, principal, site)
    need_factor(request, me, body.code)
    key, advert_key = parts.locks.gateway_keys(lock, id_of(body.gateway))
    issuers = [s for s in parts.issuers.states() if s.retired_ns is None]
    return GatewayKeysTold(
        lock_id=lock,
        gateway_id=id_of(body.gateway).hex(),
        key=key.hex(),
        advert_key=advert_key.hex(),
        issuers={s.kid: s.public for s in issuers},
    )


@router.put("/gateways/{gateway}/key")
def gateway_key(
    request: Request, gateway: Id, body: GatewayKeyChange, principal: Principal = Admin
) -> GatewayKeyBody:
    """Register the key that secrets for a gateway are sealed to: `permits/seal.pub` in its data folder."""
    need_factor(request, person_of(principal), body.code)
    services(request).permits.holders.register_gateway(gateway, bytes.fromhex(body.public))
    return GatewayKeyBody(public=body.public)


@router.get("/issuer-keys")
def issuers(request: Request, principal: Principal = Reader) -> list[IssuerTold]:
    """Public keys that grants were signed with, oldest first."""
    return [IssuerTold(**asdict(s)) for s in services(request).permits.issuers.states()]


@router.post("/issuer-keys", status_code=201)
def new_issuer(
    request: Request, body: ReasonBody, principal: Principal = Admin
) -> list[IssuerTold]:
    """Make the next issuer key; it signs nothing until it is switched to."""
    me = person_of(principal)
    need_factor(request, me, body.code)
    services(request).permits.keys.prepare(me.name, body.reason)
    return issuers(request, principal)


@router.post("/issuer-keys/switch")
def switch_issuer(
    request: Request, body: SwitchBody, principal: Principal = Admin
) -> list[IssuerTold]:
    """Sign with the newest key, once every lock has it: one that has not would open for nobody."""
    me = person_of(principal)
    need_factor(request, me, body.code)
    services(request).permits.keys.switch(me.name, body.reason, force=body.force)
    return issuers(request, principal)


@router.get("/key-changes")
def key_changes(request: Request, principal: Principal = Reader) -> list[ChangeTold]:
    """Who voided grants of locks at the caller's sites and who replaced issuer keys, when and why: the newest 100."""
    found = services(request).permits.keys.all(principal.sites)
    return [ChangeTold(**msgspec.to_builtins(k)) for k in found]


def _technician(request: Request, principal: Principal, site: str) -> Person:
    need_site(principal, site)
    me = person_of(principal)
    need_role(request, me, site, PermitRole.TECHNICIAN)
    return me


def holder_told(key: HolderKey) -> HolderTold:
    """What may be shown of a phone's key."""
    return HolderTold(**{**asdict(key), "public": key.public.hex()})
