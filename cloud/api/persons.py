"""The person behind a request, what they are at a site, and their second factor. A token is no person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Request
from pydantic import Field

from cloud.api.services import services
from cloud.identity.permit_roles import PermitRole
from cloud.identity.rules import Principal
from tocsin.errors import IdentityError, IdentityReason

Code = Annotated[str, Field(max_length=16, description="Six digits of the authenticator app.")]


@dataclass(frozen=True, slots=True)
class Person:
    """An account's name is the name on a permit."""

    account_id: int
    name: str


def person_of(principal: Principal) -> Person:
    """Who asks.

    Raises:
        IdentityError: a token speaks.
    """
    if principal.kind != "session" or principal.account_id is None:
        raise IdentityError(
            IdentityReason.NOT_ALLOWED,
            "a token is no person: what is done on a permit is done by someone who logged in",
            hint="log in",
        )
    return Person(principal.account_id, principal.name)


def need_role(request: Request, person: Person, site: str, *roles: PermitRole) -> None:
    """Refuse whoever holds none of these at the site.

    Raises:
        IdentityError: NOT_ALLOWED.
    """
    held = services(request).permit_roles.roles(person.account_id, site)
    if not held.intersection(roles):
        wanted = " or ".join(role.value for role in roles)
        raise IdentityError(
            IdentityReason.NOT_ALLOWED,
            f"{person.name} is no {wanted} at {site}",
            hint="an admin says who is what: PUT /api/v1/accounts/{id}/permit-roles",
        )


def need_factor(request: Request, person: Person, code: str) -> None:
    """Take a code of the person's second factor.

    Raises:
        IdentityError: there is none, or the code is not good.
    """
    services(request).factors.check(person.account_id, code)
