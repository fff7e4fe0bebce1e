"""Who may do what, where: pure rules, no clock, no database."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What an account is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    DISPATCHER = "dispatcher"
    OPS = "ops"
    ADMIN = "admin"


class Action(StrEnum):
    """What a request wants to do. Every route names exactly one."""

    READ = "read"  # devices, values, alarms, gateways
    ALARMS = "alarms"  # acknowledge, reset
    COMMANDS = "commands"  # tell a device something: a relay, a valve, a text
    REGISTRY = "registry"  # edit devices, replace hardware
    QUERY = "query"  # SQL over the series
    WRITE = "write"  # line protocol in
    OPS = "ops"  # dead letters, counters
    TOKENS = "tokens"  # one's own API tokens
    ADMIN = "admin"  # accounts, everybody's tokens


class Scope(StrEnum):
    """What an API token was made for."""

    READ = "read"
    WRITE = "write"
    QUERY = "query"
    ALARMS = "alarms"
    COMMANDS = "commands"
    REGISTRY = "registry"
    ADMIN = "admin"


_A = Action
ROLE_ACTIONS: dict[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset({_A.READ}),
    Role.OPERATOR: frozenset({_A.READ, _A.ALARMS, _A.COMMANDS, _A.TOKENS}),
    Role.DISPATCHER: frozenset({_A.READ, _A.ALARMS, _A.COMMANDS, _A.TOKENS}),
    Role.OPS: frozenset(
        {_A.READ, _A.ALARMS, _A.COMMANDS, _A.REGISTRY, _A.QUERY, _A.WRITE, _A.OPS, _A.TOKENS}
    ),
    Role.ADMIN: frozenset(Action),
}

SCOPE_ACTIONS: dict[Scope, frozenset[Action]] = {
    Scope.READ: frozenset({_A.READ}),
    Scope.WRITE: frozenset({_A.WRITE}),
    Scope.QUERY: frozenset({_A.QUERY}),
    Scope.ALARMS: frozenset({_A.READ, _A.ALARMS}),
    Scope.COMMANDS: frozenset({_A.READ, _A.COMMANDS}),
    Scope.REGISTRY: frozenset({_A.READ, _A.REGISTRY}),
    Scope.ADMIN: frozenset(Action),
}

# These reach across sites by nature (a SELECT names no site), so a caller bound to sites never gets them.
UNSCOPED_ACTIONS = frozenset({_A.QUERY, _A.WRITE, _A.OPS, _A.ADMIN})


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who proved who they are. `sites` None means every site."""

    name: str
    kind: Literal["session", "token"]
    actions: frozenset[Action]
    sites: frozenset[str] | None = None
    account_id: int | None = None
    role: Role | None = None
    csrf: str = field(default="", repr=False)


def actions_of_token(scopes: frozenset[Scope], owner: Role | None) -> frozenset[Action]:
    """What a token may do: its scopes, never more than its owner. Made on the machine itself, it has no owner."""
    granted: frozenset[Action] = frozenset().union(*(SCOPE_ACTIONS[s] for s in scopes))
    return granted if owner is None else granted & ROLE_ACTIONS[owner]


def meet(a: frozenset[str] | None, b: frozenset[str] | None) -> frozenset[str] | None:
    """Sites that both scopes contain."""
    if a is None or b is None:
        return b if a is None else a
    return a & b


def may(principal: Principal, action: Action) -> bool:
    """Whether the caller may do this at all."""
    if action in UNSCOPED_ACTIONS and principal.sites is not None:
        return False
    return action in principal.actions


def sees(principal: Principal, site: str) -> bool:
    """Whether the site lies inside the caller's scope."""
    return principal.sites is None or site in principal.sites


def wait_after_failures_s(failures: int) -> float:
    """How long the next login must wait after so many failures in a row: free up to 4, then 2 s doubling to 15 min."""
    return 0.0 if failures < 5 else min(2.0 * 2.0 ** min(failures - 5, 20), 900.0)
