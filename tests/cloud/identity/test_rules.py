"""Roles, scopes and sites as one table."""

from __future__ import annotations

import pytest

from cloud.identity.rules import (
    ROLE_ACTIONS,
    Action,
    Principal,
    Role,
    Scope,
    actions_of_token,
    may,
    meet,
    sees,
    wait_after_failures_s,
)

A = Action
TABLE = {
    Role.VIEWER: {A.READ},
    Role.OPERATOR: {A.READ, A.ALARMS, A.COMMANDS, A.TOKENS},
    Role.DISPATCHER: {A.READ, A.ALARMS, A.COMMANDS, A.TOKENS},
    Role.OPS: {A.READ, A.ALARMS, A.COMMANDS, A.REGISTRY, A.QUERY, A.WRITE, A.OPS, A.TOKENS},
    Role.ADMIN: set(Action),
}


def _who(role: Role, sites: frozenset[str] | None = None) -> Principal:
    return Principal("x", "session", ROLE_ACTIONS[role], sites, 1, role)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_a_role_may_do_exactly_what_the_table_says(role: Role, action: Action) -> None:
    assert may(_who(role), action) == (action in TABLE[role])


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", [A.QUERY, A.WRITE, A.OPS, A.ADMIN])
def test_nobody_bound_to_a_site_does_what_reaches_across_sites(role: Role, action: Action) -> None:
    assert not may(_who(role, frozenset({"a"})), action)


def test_a_caller_sees_the_sites_of_its_scope_alone() -> None:
    assert sees(_who(Role.VIEWER), "b")
    assert sees(_who(Role.VIEWER, frozenset({"a"})), "a")
    assert not sees(_who(Role.ADMIN, frozenset({"a"})), "b")
    assert not sees(_who(Role.VIEWER, frozenset()), "a")


@pytest.mark.parametrize(
    ("scopes", "owner", "actions"),
    [
        ({Scope.READ}, None, {A.READ}),
        ({Scope.QUERY, Scope.WRITE}, None, {A.QUERY, A.WRITE}),
        ({Scope.ADMIN}, Role.VIEWER, {A.READ}),
        ({Scope.ALARMS}, Role.VIEWER, {A.READ}),
        ({Scope.QUERY}, Role.OPERATOR, set()),
        ({Scope.ADMIN}, None, set(Action)),
    ],
)
def test_a_token_gets_its_scopes_but_no_more_than_its_owner(
    scopes: set[Scope], owner: Role | None, actions: set[Action]
) -> None:
    assert actions_of_token(frozenset(scopes), owner) == actions


def test_two_site_scopes_meet() -> None:
    a, b = frozenset({"a", "b"}), frozenset({"b", "c"})
    assert meet(a, b) == frozenset({"b"})
    assert meet(None, b) == b
    assert meet(a, None) == a
    assert meet(None, None) is None


def test_failed_logins_wait_longer_and_longer_but_not_for_ever() -> None:
    waits = [wait_after_failures_s(n) for n in range(40)]
    assert waits[:5] == [0.0] * 5
    assert waits[5:8] == [2.0, 4.0, 8.0]
    assert waits == sorted(waits)
    assert waits[-1] == 900.0
