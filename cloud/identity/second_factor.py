"""The second factor of an account: a time-based code, taken once, from someone who also knew the password."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update

from cloud.db import read
from cloud.identity.failures import check_wait, failure_key, forget_failures, note_failure
from cloud.identity.secrets import verify_password
from cloud.identity.tables import accounts, second_factors
from cloud.identity.totp import SECRET_BYTES, base32_of, matching_step, uri
from cloud.sealing import Sealing
from tocsin.errors import IdentityError, IdentityReason
from tocsin.sdk.clock import Clock

ISSUER = "Tocsin"
_HINT = "an admin can end a lost second factor; then enrol a new one"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs, shown once."""

    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class FactorState:
    """Whether an account has one, since when, and who last ended one."""

    enrolled: bool = False
    confirmed_ns: int | None = None
    removed_ns: int | None = None
    removed_by: str = ""


class SecondFactors:
    """All of one state database."""

    def __init__(self, engine: Engine, clock: Clock, sealing: Sealing) -> None:
        self._engine, self._clock, self._sealing = engine, clock, sealing

    def state(self, account_id: int) -> FactorState:
        """What may be told of it."""
        with read(self._engine) as c:
            row = _row(c, account_id)
        if row is None:
            return FactorState()
        return FactorState(
            row["secret"] is not None, row["confirmed_ns"], row["removed_ns"], row["removed_by"]
        )

    def begin(self, account_id: int, password: str, code: str = "") -> Enrolment:
        """A new secret, in force once its first code confirms it; `code` is of the old factor where there is one.

        Raises:
            IdentityError: the password or the old code is wrong.
        """
        now_ns = self._clock.now_ns()
        key = failure_key("enrol", str(account_id))
        with read(self._engine) as c:
            check_wait(c, (key,), now_ns, "wait, then give your password again")
            account = c.execute(select(accounts).where(accounts.c.id == account_id)).mappings()
            who, row = account.one(), _row(c, account_id)
        if not verify_password(who["password"], password):
            with self._engine.begin() as c:
                note_failure(c, {key: 1}, now_ns)
            raise IdentityError(IdentityReason.BAD_CREDENTIALS, "wrong password")
        if row is not None and row["secret"] is not None:
            self.check(account_id, code)
        secret = secrets.token_bytes(SECRET_BYTES)
        sealed = self._sealing.seal(secret, _purpose(account_id))
        with self._engine.begin() as c:
            forget_failures(c, key)
            if _row(c, account_id) is None:
                c.execute(
                    insert(second_factors).values(
                        account_id=account_id, pending=sealed, last_step=0, removed_by=""
                    )
                )
            else:
                _change(c, account_id, pending=sealed)
        return Enrolment(base32_of(secret), uri(secret, str(who["name"]), ISSUER))

    def waiting(self, account_id: int, secret: str) -> Enrolment | None:
        """What `begin` gave, again for whoever has it: a mistyped first code does not throw it away."""
        with read(self._engine) as c:
            row = _row(c, account_id)
            if row is None or row["pending"] is None:
                return None
            name = c.scalar(select(accounts.c.name).where(accounts.c.id == account_id))
        pending = self._sealing.open(row["pending"], _purpose(account_id))
        if not secrets.compare_digest(base32_of(pending).encode(), secret.encode()):
            return None
        return Enrolment(secret, uri(pending, str(name), ISSUER))

    def confirm(self, account_id: int, code: str) -> FactorState:
        """The first code of the secret that `begin` gave; from now on it is the account's.

        Raises:
            IdentityError: nothing waits for it, or the code is wrong, used or too many were wrong.
        """
        self._take(account_id, code, "pending")
        return self.state(account_id)

    def check(self, account_id: int, code: str) -> None:
        """Take a code; it is worth nothing afterwards, nor is an older one.

        Raises:
            IdentityError: no second factor, or the code is wrong, used or too many were wrong.
        """
        self._take(account_id, code, "secret")

    def remove(self, account_id: int, by: str) -> None:
        """An admin ends a lost one; its owner enrols anew with the password.

        Raises:
            IdentityError: there is none.
        """
        with self._engine.begin() as c:
            row = _row(c, account_id)
            if row is None or (row["secret"] is None and row["pending"] is None):
                raise IdentityError(
                    IdentityReason.NO_SECOND_FACTOR, "this account has no second factor"
                )
            _change(
                c,
                account_id,
                secret=None,
                pending=None,
                confirmed_ns=None,
                removed_ns=self._clock.now_ns(),
                removed_by=by,
            )
            forget_failures(c, failure_key("factor", str(account_id)))

    def _take(self, account_id: int, code: str, which: str) -> None:
        now_ns = self._clock.now_ns()
        key = failure_key("factor", str(account_id))
        refused: IdentityError | None = None
        with self._engine.begin() as c:  # one transaction: of two with the same code one is late
            check_wait(c, (key,), now_ns, _HINT)
            row = _row(c, account_id, lock=True)
            if row is None or row[which] is None:
                raise IdentityError(
                    IdentityReason.NO_SECOND_FACTOR,
                    "this needs a second factor, and your account has none",
                    hint="enrol one under your account: POST /api/v1/me/second-factor",
                )
            secret = self._sealing.open(row[which], _purpose(account_id))
            step = matching_step(secret, code.strip().replace(" ", ""), now_ns)
            if step is None or step <= row["last_step"]:
                note_failure(c, {key: 1}, now_ns)
                told = "this code is wrong" if step is None else "this code was used before"
                refused = IdentityError(
                    IdentityReason.BAD_CODE,
                    told,
                    hint="wait for the next code; is the phone's clock right?",
                )
            else:
                forget_failures(c, key)
                values: dict[str, object] = {"last_step": step}
                if which == "pending":
                    values |= {"secret": row["pending"], "pending": None, "confirmed_ns": now_ns}
                _change(c, account_id, **values)
        if refused is not None:
            raise refused


def _row(c: Connection, account_id: int, *, lock: bool = False) -> RowMapping | None:
    query = select(second_factors).where(second_factors.c.account_id == account_id)
    return c.execute(query.with_for_update() if lock else query).mappings().first()


def _change(c: Connection, account_id: int, **values: object) -> None:
    mine = second_factors.c.account_id == account_id
    c.execute(update(second_factors).where(mine).values(**values))


def _purpose(account_id: int) -> str:
    return f"second factor of account {account_id}"
