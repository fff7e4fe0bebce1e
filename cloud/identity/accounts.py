"""Local accounts, and the first one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.db import read
from cloud.identity.rules import Role
from cloud.identity.secrets import MIN_PASSWORD, digest, hash_password, new_secret
from cloud.identity.tables import accounts, sessions, setup_tokens
from tocsin.errors import IdentityError, IdentityReason
from tocsin.sdk.clock import Clock


@dataclass(frozen=True, slots=True)
class Account:
    """A person. `sites` None means every site."""

    id: int
    name: str
    role: Role
    sites: frozenset[str] | None
    disabled: bool
    created_ns: int


def account_of(row: RowMapping) -> Account:
    """An account from a row of its table."""
    sites = None if row["sites"] is None else frozenset(row["sites"])
    return Account(
        row["id"], row["name"], Role(row["role"]), sites, row["disabled"], row["created_ns"]
    )


class Accounts:
    """All accounts in one state database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def list(self) -> list[Account]:
        """By name."""
        with read(self._engine) as c:
            return [
                account_of(r)
                for r in c.execute(select(accounts).order_by(accounts.c.name)).mappings()
            ]

    def create(
        self, name: str, password: str, role: Role, sites: frozenset[str] | None = None
    ) -> Account:
        """Add an account; names are unique and compared without case."""
        hashed = hash_password(password)
        return self._insert(name.strip().lower(), hashed, role, sites)

    def _insert(self, name: str, hashed: str, role: Role, sites: frozenset[str] | None) -> Account:
        row = {
            "name": name,
            "password": hashed,
            "role": role.value,
            "sites": None if sites is None else sorted(sites),
            "disabled": False,
            "created_ns": self._clock.now_ns(),
        }
        try:
            with self._engine.begin() as c:
                key = c.execute(insert(accounts).values(row)).inserted_primary_key
        except IntegrityError:
            raise _refused(f"there is already an account named {name!r}") from None
        return Account(int(key[0]) if key else 0, name, role, sites, False, row["created_ns"])  # type: ignore[arg-type]

    def change(
        self,
        account_id: int,
        *,
        role: Role,
        sites: frozenset[str] | None,
        disabled: bool,
        password: str | None = None,
    ) -> Account:
        """Edit an account. Disabling it or a new password ends its sessions; the last admin stays one."""
        values: dict[str, object] = {
            "role": role.value,
            "sites": None if sites is None else sorted(sites),
            "disabled": disabled,
        }
        if password is not None:
            values["password"] = hash_password(password)
        with self._engine.begin() as c:
            row = c.execute(select(accounts).where(accounts.c.id == account_id)).mappings().first()
            if row is None:
                raise _refused("there is no such account")
            stays = role is Role.ADMIN and sites is None and not disabled
            if not stays and _other_admins(c, account_id) == 0 and _is_admin(row):
                raise _refused("this is the last admin of every site", "make another admin first")
            c.execute(update(accounts).where(accounts.c.id == account_id).values(values))
            if disabled or password is not None:
                c.execute(delete(sessions).where(sessions.c.account_id == account_id))
            row = c.execute(select(accounts).where(accounts.c.id == account_id)).mappings().one()
        return account_of(row)

    def empty(self) -> bool:
        """Whether nobody has an account yet."""
        with read(self._engine) as c:
            return c.execute(select(func.count()).select_from(accounts)).scalar_one() == 0

    def new_setup_token(self) -> str | None:
        """A one-time token for the first admin; None once an account exists. An older token ends."""
        if not self.empty():
            return None
        token = new_secret()
        with self._engine.begin() as c:
            c.execute(delete(setup_tokens))
            c.execute(
                insert(setup_tokens).values(hash=digest(token), created_ns=self._clock.now_ns())
            )
        return token

    def setup_token_valid(self, token: str) -> bool:
        """Whether this is the token of `new_setup_token` and nobody used it yet."""
        with read(self._engine) as c:
            found = c.execute(select(setup_tokens).where(setup_tokens.c.hash == digest(token)))
            return found.first() is not None and self.empty()

    def create_first_admin(self, token: str, name: str, password: str) -> Account:
        """Spend the one-time token."""
        if not self.setup_token_valid(token):
            raise IdentityError(
                IdentityReason.BAD_CREDENTIALS,
                "this set-up link is not valid, or was used",
                hint="restart the cloud to get a new one, or log in",
            )
        hashed = hash_password(password)
        with self._engine.begin() as c:
            gone = c.execute(delete(setup_tokens).where(setup_tokens.c.hash == digest(token)))
            if gone.rowcount != 1:
                raise IdentityError(IdentityReason.BAD_CREDENTIALS, "this set-up link was used")
        return self._insert(name.strip().lower(), hashed, Role.ADMIN, None)


def password_problem(password: str) -> str:
    """Why a password is not good enough; empty when it is (NIST SP 800-63B: length, no composition rules)."""
    if len(password) < MIN_PASSWORD:
        return f"at least {MIN_PASSWORD} characters"
    if len(set(password)) < 4:
        return "too few different characters"
    return ""


def _is_admin(row: RowMapping) -> bool:
    return row["role"] == Role.ADMIN and row["sites"] is None and not row["disabled"]


def _other_admins(c: Connection, account_id: int) -> int:
    rows = c.execute(select(accounts).where(accounts.c.id != account_id)).mappings()
    return sum(1 for r in rows if _is_admin(r))


def _refused(message: str, hint: str = "") -> IdentityError:
    return IdentityError(IdentityReason.NOT_ALLOWED, message, hint=hint)
