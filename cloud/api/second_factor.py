"""The second factor of the caller's account, and who is what on permits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from sqlalchemy import Connection

from cloud.api.gate import Reader, allow, need_site
from cloud.api.models import Body, Id, Told
from cloud.api.persons import Code, person_of
from cloud.api.services import Services, services
from cloud.identity.permit_roles import EVERY_SITE, PermitRole, Post
from cloud.identity.rules import Action, Principal
from cloud.identity.second_factor import FactorState
from cloud.permits.ledger import ROLES, note
from tocsin.errors import BadRequestError, IdentityError, IdentityReason

router = APIRouter(prefix="/api/v1", tags=["identity"])
Admin = Depends(allow(Action.ADMIN))
AccountId = Annotated[int, Path(ge=0, lt=2**63)]


class EnrolBody(Body):
    """Begin: who you are once more."""

    password: str = Field(max_length=256, description="The account's password.")
    code: str = Field(
        default="", max_length=16, description="Of the old second factor, where there is one."
    )


class CodeBody(Body):
    """One code."""

    code: Code


class PinBody(Body):
    """A new PIN."""

    password: str = Field(max_length=256, description="The account's password.")
    pin: str = Field(max_length=16, description="6 to 12 digits.")


class EnrolmentTold(Told):
    """For the authenticator app; shown this once."""

    secret: str
    uri: str


class FactorTold(Told):
    """Whether there is a second factor, since when, and who last ended one."""

    enrolled: bool
    confirmed_ns: int | None
    removed_ns: int | None
    removed_by: str


class PostBody(Body):
    """One role; at one site or, without it, at every site of the account."""

    role: PermitRole
    site: Id | None = None


class PersonTold(Told):
    """Someone with roles at the site."""

    name: str
    roles: list[PermitRole]


@router.get("/me/second-factor")
def second_factor(request: Request, principal: Principal = Reader) -> FactorTold:
    """Whether the caller's account has a second factor."""
    return _told(services(request).factors.state(person_of(principal).account_id))


@router.post("/me/second-factor", status_code=201)
def enrol(request: Request, body: EnrolBody, principal: Principal = Reader) -> EnrolmentTold:
    """Begin with a new one: its secret is in this answer alone, and counts once a code confirms it."""
    account = person_of(principal).account_id
    made = services(request).factors.begin(account, body.password, body.code)
    return EnrolmentTold(secret=made.secret, uri=made.uri)


@router.post("/me/second-factor/confirm")
def confirm(request: Request, body: CodeBody, principal: Principal = Reader) -> FactorTold:
    """The first code of the new one."""
    account = person_of(principal).account_id
    return _told(services(request).factors.confirm(account, body.code))


@router.put("/me/pin", status_code=204)
def change_pin(request: Request, body: PinBody, principal: Principal = Reader) -> None:
    """Set the PIN by which gateways know the caller where the cloud is away."""
    services(request).pins.change(person_of(principal).account_id, body.password, body.pin)


@router.delete("/accounts/{account}/second-factor")
def remove(request: Request, account: AccountId, principal: Principal = Admin) -> FactorTold:
    """End a lost one, of someone else; its owner enrols anew with the password."""
    if principal.account_id == account:
        raise IdentityError(
            IdentityReason.NOT_ALLOWED,
            "nobody ends their own second factor",
            hint="enrol a new one with a code of the old, or ask another admin",
        )
    factors = services(request).factors
    factors.remove(account, principal.name)
    return _told(factors.state(account))


@router.get("/accounts/{account}/permit-roles")
def posts(request: Request, account: AccountId, principal: Principal = Admin) -> list[PostBody]:
    """What an account is on permits."""
    return _posts(services(request).permit_roles.posts(account))


@router.put("/accounts/{account}/permit-roles")
def give_posts(
    request: Request, account: AccountId, body: list[PostBody], principal: Principal = Admin
) -> list[PostBody]:
    """Give an account exactly these roles."""
    if len(body) > 1000:
        raise BadRequestError("more than 1000 roles for one account")
    wanted = [Post(p.role, p.site or EVERY_SITE) for p in body]
    return _posts(post_roles(services(request), account, wanted, principal.name))


def post_roles(parts: Services, account: int, wanted: list[Post], by: str) -> list[Post]:
    """Give an account exactly these, with an entry in the ledger of what it had."""
    names = {a.id: a.name for a in parts.accounts.list()}

    def changed(c: Connection, was: list[Post], now: list[Post]) -> None:
        told = (
            ", ".join(f"{p.role}@{p.site or '*'}" for p in sorted(ps, key=str)) for ps in (was, now)
        )
        note(c, "", ROLES, names.get(account, str(account)), by, parts.clock.now_ns(), *told)

    return parts.permit_roles.post(account, wanted, changed)


@router.get("/sites/{site}/people")
def people(request: Request, site: Id, principal: Principal = Reader) -> list[PersonTold]:
    """Who holds which roles at a site, to be named on a permit."""
    need_site(principal, site)
    found = services(request).permit_roles.people(site)
    return [PersonTold(name=p.name, roles=sorted(p.roles)) for p in found]


def _told(state: FactorState) -> FactorTold:
    return FactorTold(**asdict(state))


def _posts(found: list[Post]) -> list[PostBody]:
    return [PostBody(role=p.role, site=p.site or None) for p in found]
