"""Which locks have taken what: as the API, the console and the command line tell it, with its times."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Engine, select

from cloud.db import read
from cloud.lock_orders import rows
from cloud.lock_orders.model import Order, is_complete
from cloud.lock_orders.rows import Standing
from cloud.permits.tables import issuer_keys
from tocsin.sdk import Clock

Row = dict[str, object]


class LocksTold:
    """All of one state database; the spine writes it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def report(self, sites: Collection[str] | None = None) -> Row:
        """Every lock of these sites, and every issuer key with how many of them have it."""
        with read(self._engine) as c:
            found = rows.standings(c, self._clock.now_ns())
            mine = [one for one in found if sites is None or one.lock.site in sites]
            return {"locks": [lock_row(one) for one in mine], "issuers": _issuers(c, mine)}

    def orders(self, lock: str, limit: int = 100) -> list[Row]:
        """Everything a lock was ordered, newest first."""
        with read(self._engine) as c:
            return [order_row(order) for order in rows.of_lock(c, lock, limit)]

    def behind(self) -> list[str]:
        """Locks (site/device) without the newest issuer key."""
        with read(self._engine) as c:
            found = rows.standings(c, self._clock.now_ns())
        return [_name(one) for one in found if one.holds.kid < one.wanted.kid]


def lock_row(one: Standing) -> Row:
    """The documented object."""
    opened = [o for o in one.orders if o.is_open]
    return {
        "lock": one.lock.lock,
        "site": one.lock.site,
        "device": one.lock.device,
        "profile": one.lock.profile,
        "complete": is_complete(one.wanted, one.holds),
        "min_ctr": one.wanted.min_ctr,
        "epoch": one.wanted.epoch,
        "kid": f"{one.wanted.kid:04x}",
        "named": sum(n not in one.holds.named for n in one.wanted.named),
        "held": {
            "min_ctr": one.holds.min_ctr,
            "epoch": one.holds.epoch,
            "kid": f"{one.holds.kid:04x}",
            "revoked_ns": one.holds.revoked_ns,
            "rotated_ns": one.holds.rotated_ns,
            "time_ns": one.holds.time_ns,
        },
        "open": [order_row(o) for o in opened],
        "refused": [order_row(o) for o in one.orders if not o.is_open],
    }


def order_row(order: Order) -> Row:
    """One order without its bytes."""
    told = asdict(order)
    del told["body"]
    named = [{"cti": cti.hex(), "ctr": ctr} for cti, ctr in order.named]
    return told | {"named": named, "kid": f"{order.kid:04x}" if order.kid else ""}


def _issuers(c: Connection, locks: Sequence[Standing]) -> list[Row]:
    query = select(issuer_keys).order_by(issuer_keys.c.kid)
    found = list(c.execute(query).mappings())
    issuing = max((r["kid"] for r in found if r["issues_ns"] is not None), default=0)
    told: list[Row] = []
    for row in found:
        kid = int(row["kid"])
        if row["retired_ns"] is not None:
            state, missing = "retired", [one for one in locks if one.holds.kid <= kid + 1]
        else:
            state = "issues" if kid == issuing else "waits" if kid > issuing else "known"
            missing = [one for one in locks if one.holds.kid < kid]
        done = len(locks) - len(missing)
        told.append(
            {
                "kid": f"{kid:04x}",
                "state": state,
                "made_ns": row["made_ns"],
                "retired_ns": row["retired_ns"],
                "locks": len(locks),
                "held": 0 if state == "retired" else done,
                "refused": done if state == "retired" else 0,
                "missing": [_name(one) for one in missing],
            }
        )
    return told


def _name(one: Standing) -> str:
    return f"{one.lock.site}/{one.lock.device}"
