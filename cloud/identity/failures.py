"""How often someone failed to prove who they are, and how long they must wait now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select, update

from cloud.identity.rules import wait_after_failures_s
from cloud.identity.tables import login_failures
from tocsin.errors import IdentityError, IdentityReason

FORGET_FAILURES_NS = 24 * 3600 * 10**9


def failure_key(kind: str, text: str) -> str:
    """The row of a name, an address or a second factor."""
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()}"


def check_wait(c: Connection, keys: Iterable[str], now_ns: int, hint: str) -> None:
    """Refuse an attempt that comes too early.

    Raises:
        IdentityError: LOCKED_OUT.
    """
    rows = c.execute(select(login_failures.c.until_ns).where(login_failures.c.key.in_(list(keys))))
    wait_s = (max(rows.scalars(), default=0) - now_ns) / 1e9
    if wait_s > 0:
        raise IdentityError(
            IdentityReason.LOCKED_OUT,
            f"too many failed attempts; try again in {wait_s:.0f} s",
            hint=hint,
        )


def note_failure(c: Connection, patience: Mapping[str, int], now_ns: int) -> None:
    """Count one more for each key; `patience`: failures that count as one."""
    c.execute(delete(login_failures).where(login_failures.c.seen_ns < now_ns - FORGET_FAILURES_NS))
    for key, at_once in patience.items():
        row = c.execute(select(login_failures).where(login_failures.c.key == key)).first()
        count = (row.failures if row else 0) + 1
        until_ns = now_ns + int(wait_after_failures_s(count // at_once) * 1e9)
        values = {"failures": count, "until_ns": until_ns, "seen_ns": now_ns}
        if row:
            c.execute(update(login_failures).where(login_failures.c.key == key).values(values))
        else:
            c.execute(insert(login_failures).values(key=key, **values))


def forget_failures(c: Connection, key: str) -> None:
    """It worked."""
    c.execute(delete(login_failures).where(login_failures.c.key == key))
