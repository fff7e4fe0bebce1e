"""Log in, and what a session cookie stands for."""

from __future__ import annotations

from sqlalchemy import Engine, delete, insert, select, update

from cloud.db import read
from cloud.identity.accounts import account_of
from cloud.identity.failures import check_wait, failure_key, forget_failures, note_failure
from cloud.identity.rules import ROLE_ACTIONS, Principal
from cloud.identity.secrets import csrf_of, digest, new_secret, verify_password
from cloud.identity.tables import accounts, sessions
from tocsin.errors import IdentityError, IdentityReason
from tocsin.sdk.clock import Clock

IDLE_NS = 12 * 3600 * 10**9
ABSOLUTE_NS = 7 * 24 * 3600 * 10**9
TOUCH_NS = 60 * 10**9  # how exact `seen_ns` is: one write a minute
ADDRESS_PATIENCE = 10  # one address may hold a whole control room


class Sessions:
    """All sessions in one state database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def log_in(self, name: str, password: str, address: str) -> str:
        """The secret of a new session.

        Raises:
            IdentityError: wrong name or password (which of them is not said), or too many failures.
        """
        name = name.strip().lower()
        patience = {
            failure_key("name", name): 1,
            failure_key("address", address): ADDRESS_PATIENCE,
        }
        now = self._clock.now_ns()
        with read(self._engine) as c:
            check_wait(c, patience, now, "an admin can set a new password under Accounts")
            row = c.execute(select(accounts).where(accounts.c.name == name)).mappings().first()
        good = verify_password(None if row is None else row["password"], password)
        if not good or row is None or row["disabled"]:
            with self._engine.begin() as c:
                note_failure(c, patience, now)
            raise IdentityError(IdentityReason.BAD_CREDENTIALS, "wrong name or password")
        secret = new_secret()
        with self._engine.begin() as c:
            forget_failures(c, failure_key("name", name))
            c.execute(delete(sessions).where(sessions.c.seen_ns < now - IDLE_NS))
            c.execute(delete(sessions).where(sessions.c.created_ns < now - ABSOLUTE_NS))
            c.execute(
                insert(sessions).values(
                    hash=digest(secret), account_id=row["id"], created_ns=now, seen_ns=now
                )
            )
        return secret

    def principal(self, secret: str) -> Principal | None:
        """Who the cookie belongs to; None when it is unknown, too old or the account is disabled."""
        now = self._clock.now_ns()
        with read(self._engine) as c:
            row = (
                c.execute(
                    select(sessions.c.created_ns.label("born_ns"), sessions.c.seen_ns, accounts)
                    .join(accounts, sessions.c.account_id == accounts.c.id)
                    .where(sessions.c.hash == digest(secret))
                )
                .mappings()
                .first()
            )
        if row is None or row["disabled"]:
            return None
        if now - row["seen_ns"] > IDLE_NS or now - row["born_ns"] > ABSOLUTE_NS:
            return None
        if now - row["seen_ns"] > TOUCH_NS:
            with self._engine.begin() as c:
                c.execute(
                    update(sessions).where(sessions.c.hash == digest(secret)).values(seen_ns=now)
                )
        account = account_of(row)
        return Principal(
            name=account.name,
            kind="session",
            actions=ROLE_ACTIONS[account.role],
            sites=account.sites,
            account_id=account.id,
            role=account.role,
            csrf=csrf_of(secret),
        )

    def log_out(self, secret: str) -> None:
        """End one session."""
        with self._engine.begin() as c:
            c.execute(delete(sessions).where(sessions.c.hash == digest(secret)))
