"""Who is what on permits, and where. An account's role opens pages; these say whose word counts on a permit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Engine, delete, insert, select

from cloud.db import read
from cloud.identity.accounts import account_of
from cloud.identity.tables import accounts, permit_roles
from tocsin.errors import IdentityError, IdentityReason

EVERY_SITE = ""


class PermitRole(StrEnum):
    """What a person may do on a permit; which of them exclude one another on one permit is the permit's rule."""

    APPLICANT = "applicant"
    APPROVER = "approver"
    GAS_TESTER = "gas-tester"
    ATTENDANT = "attendant"
    ENTRANT = "entrant"
    RESCUE = "rescue"
    REGULATOR = "regulator"
    TECHNICIAN = "technician"


@dataclass(frozen=True, slots=True)
class Post:
    """One role at one site; `site` "" is every site of the account."""

    role: PermitRole
    site: str = EVERY_SITE


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who holds roles at a site."""

    name: str
    roles: frozenset[PermitRole]


class PermitRoles:
    """All of one state database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def posts(self, account_id: int) -> list[Post]:
        """Of one account, by role and site."""
        with read(self._engine) as c:
            return _posts(c, account_id)

    def post(
        self,
        account_id: int,
        posts: Iterable[Post],
        changed: Callable[[Connection, list[Post], list[Post]], None] = lambda c, was, now: None,
    ) -> list[Post]:
        """Give an account exactly these. `changed` is told what it had and has, in the same transaction.

        Raises:
            IdentityError: no such account.
        """
        with self._engine.begin() as c:
            if c.execute(select(accounts.c.id).where(accounts.c.id == account_id)).first() is None:
                raise IdentityError(IdentityReason.NOT_ALLOWED, "there is no such account")
            was = _posts(c, account_id)
            c.execute(delete(permit_roles).where(permit_roles.c.account_id == account_id))
            for one in set(posts):
                c.execute(
                    insert(permit_roles).values(
                        account_id=account_id, role=one.role.value, site=one.site
                    )
                )
            now = _posts(c, account_id)
            changed(c, was, now)
            return now

    def roles(self, account_id: int, site: str) -> frozenset[PermitRole]:
        """What an account is at a site; whether it sees the site at all is the caller's to check."""
        return frozenset(p.role for p in self.posts(account_id) if p.site in (EVERY_SITE, site))

    def people(self, site: str) -> list[Person]:
        """Everybody with a role at a site, by name."""
        columns = permit_roles.c.role.label("post"), permit_roles.c.site.label("at")
        query = select(*columns, accounts).join(
            accounts, permit_roles.c.account_id == accounts.c.id
        )
        found: dict[str, set[PermitRole]] = {}
        with read(self._engine) as c:
            for row in c.execute(query).mappings():
                account = account_of(row)
                sees = account.sites is None or site in account.sites
                if sees and not account.disabled and row["at"] in (EVERY_SITE, site):
                    found.setdefault(account.name, set()).add(PermitRole(row["post"]))
        return [Person(name, frozenset(roles)) for name, roles in sorted(found.items())]


def _posts(c: Connection, account_id: int) -> list[Post]:
    mine = select(permit_roles).where(permit_roles.c.account_id == account_id)
    order = mine.order_by(permit_roles.c.role, permit_roles.c.site)
    return [Post(PermitRole(r["role"]), r["site"]) for r in c.execute(order).mappings()]
