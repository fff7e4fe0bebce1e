"""PINs for gateways: who someone is where the cloud cannot be asked."""

from __future__ import annotations

import secrets
from itertools import pairwise

from sqlalchemy import Connection, Engine, insert, select, update

from cloud.identity.failures import check_wait, failure_key, forget_failures, note_failure
from cloud.identity.secrets import verify_password
from cloud.identity.tables import accounts, permit_pins
from tocsin.errors import BadRequestError, IdentityError, IdentityReason
from tocsin.permits.pins import SALT_BYTES, hash_pin
from tocsin.sdk.clock import Clock

MIN_DIGITS, MAX_DIGITS = 6, 12


class Pins:
    """All of one state database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def change(self, account_id: int, password: str, pin: str) -> None:
        """Set it; gateways hear of it with the next message on a permit that names this person.

        Raises:
            IdentityError: the password is wrong.
            BadRequestError: no PIN that takes long to guess.
        """
        if not (pin.isascii() and pin.isdigit() and MIN_DIGITS <= len(pin) <= MAX_DIGITS):
            raise BadRequestError(f"pin: {MIN_DIGITS} to {MAX_DIGITS} digits")
        steps = {(ord(b) - ord(a)) % 10 for a, b in pairwise(pin)}
        if len(steps) < 2:
            raise BadRequestError("pin: not one digit again and again, nor counting up or down")
        now_ns = self._clock.now_ns()
        key = failure_key("pin", str(account_id))
        with self._engine.begin() as c:
            check_wait(c, (key,), now_ns, "wait, then give your password again")
            row = c.execute(select(accounts.c.password).where(accounts.c.id == account_id)).one()
        good = verify_password(row.password, password)
        with self._engine.begin() as c:
            if good:
                forget_failures(c, key)
                values = {"pin": hash_pin(pin, secrets.token_bytes(SALT_BYTES))}
                mine = permit_pins.c.account_id == account_id
                if c.execute(update(permit_pins).where(mine).values(values)).rowcount == 0:
                    c.execute(insert(permit_pins).values(account_id=account_id, **values))
            else:
                note_failure(c, {key: 1}, now_ns)
        if not good:
            raise IdentityError(IdentityReason.BAD_CREDENTIALS, "wrong password")


def pins_of(c: Connection) -> dict[str, str]:
    """What is kept of everybody's, by account name."""
    query = select(accounts.c.name, permit_pins.c.pin).join(
        permit_pins, permit_pins.c.account_id == accounts.c.id
    )
    return {str(name): str(pin) for name, pin in c.execute(query)}
