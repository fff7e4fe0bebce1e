"""Log in, and what a session cookie stands for."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, Engine, delete, insert, select, update

from cloud.db import read
from cloud.identity.accounts import account_of
from cloud.identity.rules import ROLE_ACTIONS, Principal, wait_after_failures_s
from cloud.identity.secrets import csrf_of, digest, new_secret, verify_password
from cloud.identity.tables import accounts, login_failures, sessions
from tocsin.errors import IdentityError, IdentityReason
from tocsin.sdk.clock import Clock

IDLE_NS = 12 * 3600 * 10**9
ABSOLUTE_NS = 7 * 24 * 3600 * 10**9
TOUCH_NS = 60 * 10**9  # how exact `seen_ns` is: one write a minute
FORGET_FAILURES_NS = 24 * 3600 * 10**9
MAX_FAILURE_ROWS = 10_000


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
        keys = (_key("name", name), _key("address", address))
        now = self._clock.now_ns()
        with read(self._engine) as c:
            until = [
                r.until_ns
                for r in c.execute(select(login_failures).where(login_failures.c.key.in_(keys)))
            ]
            row = c.execute(select(accounts).where(accounts.c.name == name)).mappings().first()
        wait_s = (max(until, default=0) - now) / 1e9
        if wait_s > 0:
            raise IdentityError(
                IdentityReason.LOCKED_OUT,
                f"too many failed attempts; try again in {wait_s:.0f} s",
                hint="an admin can set a new password under Accounts",
            )
        good = verify_password(None if row is None else row["password"], password)
        if not good or row is None or row["disabled"]:
            with self._engine.begin() as c:
                self._failed(c, keys, now)
            raise IdentityError(IdentityReason.BAD_CREDENTIALS, "wrong name or password")
        secret = new_secret()
        with self._engine.begin() as c:
            c.execute(delete(login_failures).where(login_failures.c.key == keys[0]))
            c.execute(delete(sessions).where(sessions.c.seen_ns < now - IDLE_NS))
            c.execute(delete(sessions).where(sessions.c.created_ns < now - ABSOLUTE_NS))
            c.execute(
                insert(sessions).values(
                    hash=digest(secret), account_id=row["id"], created_ns=now, seen_ns=now
                )
            )
        return secret

    def _failed(self, c: Connection, keys: tuple[str, ...], now: int) -> None:
        c.execute(delete(login_failures).where(login_failures.c.seen_ns < now - FORGET_FAILURES_NS))
        for key in keys:
            row = c.execute(select(login_failures).where(login_failures.c.key == key)).first()
            # one address may hold a whole control room: it gets ten times the patience of a name
            count = (row.failures if row else 0) + 1
            wait_s = wait_after_failures_s(count if key.startswith("name") else count // 10)
            values = {"failures": count, "until_ns": now + int(wait_s * 1e9), "seen_ns": now}
            if row:
                c.execute(update(login_failures).where(login_failures.c.key == key).values(values))
            else:
                c.execute(insert(login_failures).values(key=key, **values))

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


def _key(kind: str, text: str) -> str:
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()}"
