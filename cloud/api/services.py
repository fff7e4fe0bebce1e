"""What every route stands on, built once by the web process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastapi import Request

from cloud.identity.accounts import Accounts
from cloud.identity.permit_roles import PermitRoles
from cloud.identity.pins import Pins
from cloud.identity.second_factor import SecondFactors
from cloud.identity.sessions import Sessions
from cloud.identity.tokens import Tokens
from cloud.permits.parts import PermitParts
from cloud.registry import Registry
from tocsin.sdk.clock import Clock


class Spine(Protocol):
    """The process that ingests, stores and judges, as the web process needs it."""

    async def call(self, op: str, *, call_timeout_s: float = ..., **args: object) -> object:
        """One operation."""
        ...

    def stream(self, op: str, **args: object) -> AsyncIterator[object]:
        """Items until the reader stops."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Built by `cloud.web`; tests build their own on real parts."""

    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    factors: SecondFactors
    permit_roles: PermitRoles
    pins: Pins
    permits: PermitParts
    registry: Registry
    spine: Spine
    events: Spine  # a connection of its own for what is subscribed to, so that a slow reader delays no call
    clock: Clock
    https: bool = False  # cookies are marked Secure
    tiles: Path | None = None  # a PMTiles archive for the map


def services(request: Request) -> Services:
    """The services of the running application."""
    found = request.app.state.services
    if not isinstance(found, Services):
        raise TypeError("the application was built without services")
    return found
