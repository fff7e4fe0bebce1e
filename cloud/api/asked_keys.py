"""Phone keys made at a gateway's own page, which wait to be confirmed: by their owner, a technician or an approver."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from cloud.api.gate import Reader, need_site
from cloud.api.locks import CodeBody, Hex8, HolderTold, holder_told
from cloud.api.models import Id, Told
from cloud.api.permit_calls import spine_call
from cloud.api.persons import Person, need_factor, need_role, person_of
from cloud.api.services import services
from cloud.identity.permit_roles import PermitRole
from cloud.identity.rules import Principal, sees
from cloud.permits.ledger import AskedKey

router = APIRouter(prefix="/api/v1/asked-keys", tags=["locks"])
CONFIRMERS = (PermitRole.TECHNICIAN, PermitRole.APPROVER)


class RefuseBody(CodeBody):
    """Why it is nobody's phone."""

    reason: str = Field(min_length=1, max_length=200)


class AskedKeyTold(Told):
    """A key that waits. Compare `holder` with what the phone shows before you confirm it."""

    holder: str
    site: str
    account: str
    gateway: str
    asked_ns: int
    refused: str


@router.get("")
def asked(request: Request, principal: Principal = Reader) -> list[AskedKeyTold]:
    """Those that the caller may confirm, oldest first."""
    return [_told(key) for key in waiting(request, principal)]


@router.post("/{site}/{holder}/confirm")
async def confirm(
    request: Request, site: Id, holder: Hex8, body: CodeBody, principal: Principal = Reader
) -> HolderTold:
    """It is that person's phone: grants follow with the next renewal."""
    return await confirmed(request, principal, site, holder, body.code)


@router.post("/{site}/{holder}/refuse")
async def refuse(
    request: Request, site: Id, holder: Hex8, body: RefuseBody, principal: Principal = Reader
) -> AskedKeyTold:
    """It is not; the phone at the gateway is told why."""
    return _told(await refused(request, principal, site, holder, body.code, body.reason))


def waiting(request: Request, principal: Principal) -> list[AskedKey]:
    """Those that the caller may confirm."""
    if principal.kind != "session":
        return []
    me, parts = person_of(principal), services(request)

    def mine(key: AskedKey) -> bool:
        roles = parts.permit_roles.roles(me.account_id, key.site)
        may = key.account == me.name or bool(roles.intersection(CONFIRMERS))
        return sees(principal, key.site) and may

    return parts.permits.asked.waiting(mine)


async def confirmed(
    request: Request, principal: Principal, site: str, holder: str, code: str
) -> HolderTold:
    """Confirm it, and tell the gateways.

    Raises:
        IdentityError: the caller may not, or the code is not good.
        NotFoundError: there is none.
        LockKeyError: it was refused, or is somebody's by now.
    """
    await run_in_threadpool(_allowed, request, principal, site, holder, code)
    made = await run_in_threadpool(services(request).permits.asked.confirm, site, holder)
    await spine_call(request, "permit_retell", site=site)
    return holder_told(made)


async def refused(
    request: Request, principal: Principal, site: str, holder: str, code: str, reason: str
) -> AskedKey:
    """Refuse it, and tell the gateways; raises as `confirmed` does."""
    me = await run_in_threadpool(_allowed, request, principal, site, holder, code)
    asked_keys = services(request).permits.asked
    told = await run_in_threadpool(asked_keys.refuse, site, holder, reason, me.name)
    await spine_call(request, "permit_retell", site=site)
    return told


def _allowed(request: Request, principal: Principal, site: str, holder: str, code: str) -> Person:
    me = person_of(principal)
    need_site(principal, site)
    key = services(request).permits.asked.get(site, holder)
    if key.account != me.name:
        need_role(request, me, site, *CONFIRMERS)
    need_factor(request, me, code)
    return me


def _told(key: AskedKey) -> AskedKeyTold:
    return AskedKeyTold(
        holder=key.holder, site=key.site, account=key.account, gateway=key.gateway,
        asked_ns=key.asked_ns, refused=key.refused,
    )  # fmt: skip
