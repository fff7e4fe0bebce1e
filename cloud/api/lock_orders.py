"""Which locks have taken what is revoked, the issuer's key and the time."""

from __future__ import annotations

from fastapi import APIRouter, Request

from cloud.api.gate import Reader, need_site
from cloud.api.locks import Hex8
from cloud.api.models import Told
from cloud.api.services import services
from cloud.identity.rules import Principal

router = APIRouter(prefix="/api/v1", tags=["locks"])


class NamedTold(Told):
    """One grant that a REVOKE names."""

    cti: str
    ctr: int


class OrderTold(Told):
    """One order. `kept_ns`: its gateway has it on disk; `outcome` is empty until the lock answered, then taken, refused or replaced."""

    id: str
    lock: str
    kind: str
    min_ctr: int
    epoch: int
    named: list[NamedTold]
    kid: str
    made_ns: int
    made_by: str
    gateway: str
    kept_ns: int | None
    ended_ns: int | None
    outcome: str
    reason: str
    event_seq: int


class HeldTold(Told):
    """What a lock holds by its own answers, and when it took that last. Null: not since it was commissioned."""

    min_ctr: int
    epoch: int
    kid: str
    revoked_ns: int | None
    rotated_ns: int | None
    time_ns: int | None


class LockHeldTold(Told):
    """What a lock should hold, what it holds, and what is under way. `named`: void grants it would still take."""

    lock: str
    site: str
    device: str
    profile: str
    complete: bool
    min_ctr: int
    epoch: int
    kid: str
    named: int
    held: HeldTold
    open: list[OrderTold]
    refused: list[OrderTold]


class IssuerHeldTold(Told):
    """An issuer key: `held` by so many of `locks`, or, once it is retired, `refused` by so many; `missing` names the others."""

    kid: str
    state: str
    made_ns: int
    retired_ns: int | None
    locks: int
    held: int
    refused: int
    missing: list[str]


class ReportTold(Told):
    """Of the caller's sites."""

    locks: list[LockHeldTold]
    issuers: list[IssuerHeldTold]


@router.get("/lock-orders")
def lock_orders(request: Request, principal: Principal = Reader) -> ReportTold:
    """Every lock of the caller's sites: what it should hold, what it has taken, what waits; and every issuer key."""
    sites = None if principal.sites is None else sorted(principal.sites)
    return ReportTold.model_validate(services(request).permits.orders.report(sites))


@router.get("/locks/{lock}/orders")
def orders(
    request: Request, lock: Hex8, limit: int = 100, principal: Principal = Reader
) -> list[OrderTold]:
    """Everything a lock was ordered and what came of it, newest first."""
    parts = services(request).permits
    need_site(principal, parts.locks.get(lock).site)
    found = parts.orders.orders(lock, max(1, min(limit, 1000)))
    return [OrderTold.model_validate(row) for row in found]
