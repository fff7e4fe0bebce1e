"""API tokens: shown once, stored hashed, scoped, expiring."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, RowMapping, insert, select, update

from cloud.db import read
from cloud.identity.accounts import account_of
from cloud.identity.rules import Principal, Scope, actions_of_token, meet
from cloud.identity.secrets import digest, new_secret
from cloud.identity.tables import accounts, tokens
from tocsin.contract.ids import ulid
from tocsin.errors import IdentityError, IdentityReason
from tocsin.sdk.clock import Clock

PREFIX = "tocsin_"
TOUCH_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; never the token itself."""

    id: str
    name: str
    account_id: int | None
    scopes: frozenset[Scope]
    sites: frozenset[str] | None
    created_ns: int
    expires_ns: int | None
    used_ns: int | None
    revoked_ns: int | None

    def alive(self, now_ns: int) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


class Tokens:
    """All tokens in one state database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def create(
        self,
        name: str,
        scopes: frozenset[Scope],
        *,
        sites: frozenset[str] | None = None,
        expires_ns: int | None = None,
        account_id: int | None = None,
    ) -> tuple[str, Token]:
        """A new token and what is kept of it. The first part is shown once and never again."""
        if not scopes:
            raise IdentityError(IdentityReason.NOT_ALLOWED, "a token needs at least one scope")
        secret, now = new_secret(PREFIX), self._clock.now_ns()
        token = Token(
            ulid(now),
            name,
            account_id,
            scopes,
            sites,
            now,
            expires_ns,
            used_ns=None,
            revoked_ns=None,
        )
        with self._engine.begin() as c:
            c.execute(
                insert(tokens).values(
                    id=token.id,
                    hash=digest(secret),
                    name=name,
                    account_id=account_id,
                    scopes=sorted(scopes),
                    sites=None if sites is None else sorted(sites),
                    created_ns=now,
                    expires_ns=expires_ns,
                )
            )
        return secret, token

    def list(self, account_id: int | None = None) -> list[Token]:
        """Of one account, or all."""
        query = select(tokens).order_by(tokens.c.id)
        if account_id is not None:
            query = query.where(tokens.c.account_id == account_id)
        with read(self._engine) as c:
            return [_token_of(r) for r in c.execute(query).mappings()]

    def revoke(self, token_id: str, account_id: int | None = None) -> Token:
        """End a token for good; with `account_id`, only one of that account's."""
        query = select(tokens).where(tokens.c.id == token_id)
        if account_id is not None:
            query = query.where(tokens.c.account_id == account_id)
        with self._engine.begin() as c:
            row = c.execute(query).mappings().first()
            if row is None:
                raise IdentityError(
                    IdentityReason.NOT_ALLOWED,
                    f"there is no token {token_id!r}",
                    hint="`tocsin token list` shows them",
                )
            if row["revoked_ns"] is None:
                c.execute(
                    update(tokens)
                    .where(tokens.c.id == token_id)
                    .values(revoked_ns=self._clock.now_ns())
                )
            row = c.execute(select(tokens).where(tokens.c.id == token_id)).mappings().one()
        return _token_of(row)

    def principal(self, secret: str) -> Principal | None:
        """Who the token speaks for; None when it is unknown, ended, or its owner is disabled."""
        now = self._clock.now_ns()
        with read(self._engine) as c:
            row = (
                c.execute(select(tokens).where(tokens.c.hash == digest(secret))).mappings().first()
            )
            owner = None
            if row is not None and row["account_id"] is not None:
                found = c.execute(select(accounts).where(accounts.c.id == row["account_id"]))
                owner = account_of(found.mappings().one())
        if row is None or (owner is not None and owner.disabled):
            return None
        token = _token_of(row)
        if not token.alive(now):
            return None
        if token.used_ns is None or now - token.used_ns > TOUCH_NS:
            with self._engine.begin() as c:
                c.execute(update(tokens).where(tokens.c.id == token.id).values(used_ns=now))
        return Principal(
            name=f"{owner.name} ({token.name})" if owner else token.name,
            kind="token",
            actions=actions_of_token(token.scopes, owner.role if owner else None),
            sites=meet(token.sites, owner.sites if owner else None),
            account_id=token.account_id,
            role=owner.role if owner else None,
        )


def _token_of(row: RowMapping) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        account_id=row["account_id"],
        scopes=frozenset(Scope(s) for s in row["scopes"]),
        sites=None if row["sites"] is None else frozenset(row["sites"]),
        created_ns=row["created_ns"],
        expires_ns=row["expires_ns"],
        used_ns=row["used_ns"],
        revoked_ns=row["revoked_ns"],
    )
