"""Accounts, sessions and tokens on a real state database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cloud.db import open_engine, upgrade
from cloud.identity.accounts import Accounts, password_problem
from cloud.identity.rules import Action, Role, Scope
from cloud.identity.sessions import ABSOLUTE_NS, IDLE_NS, Sessions
from cloud.identity.tokens import Tokens
from tocsin.errors import IdentityError, IdentityReason

PASSWORD = "correct horse battery"


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def now_ns(self) -> int:
        return self.now

    def mono_ns(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def _reason(error: pytest.ExceptionInfo[IdentityError]) -> IdentityReason:
    return error.value.reason


def test_the_first_admin_is_made_once_with_the_one_time_token(
    engine: Engine, clock: HandClock
) -> None:
    accounts = Accounts(engine, clock)
    old = accounts.new_setup_token()
    token = accounts.new_setup_token()
    assert old
    assert token
    with pytest.raises(IdentityError):
        accounts.create_first_admin(old, "root", PASSWORD)
    admin = accounts.create_first_admin(token, " Root ", PASSWORD)
    assert (admin.name, admin.role, admin.sites) == ("root", Role.ADMIN, None)
    with pytest.raises(IdentityError):
        accounts.create_first_admin(token, "second", PASSWORD)
    assert accounts.new_setup_token() is None


def test_no_secret_is_in_the_database_file(
    engine: Engine, clock: HandClock, tmp_path: Path
) -> None:
    Accounts(engine, clock).create("ann", PASSWORD, Role.VIEWER)
    session = Sessions(engine, clock).log_in("ann", PASSWORD, "::1")
    token, _ = Tokens(engine, clock).create("t", frozenset({Scope.READ}))
    engine.dispose()
    stored = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for secret in (PASSWORD, session, token):
        assert secret.encode() not in stored


def test_a_session_ends_idle_absolutely_by_log_out_and_with_its_account(
    engine: Engine, clock: HandClock
) -> None:
    accounts, sessions = Accounts(engine, clock), Sessions(engine, clock)
    accounts.create("root", PASSWORD, Role.ADMIN)
    ann = accounts.create("ann", PASSWORD, Role.OPERATOR, frozenset({"a"}))
    secret = sessions.log_in("Ann", PASSWORD, "::1")
    who = sessions.principal(secret)
    assert who is not None
    assert (who.name, who.sites, Action.ALARMS in who.actions) == ("ann", frozenset({"a"}), True)
    clock.now += IDLE_NS - 10**9
    assert sessions.principal(secret) is not None
    clock.now += IDLE_NS - 10**9
    assert sessions.principal(secret) is not None, "a session in use stays"
    clock.now += IDLE_NS + 10**9
    assert sessions.principal(secret) is None

    secret = sessions.log_in("ann", PASSWORD, "::1")
    for _ in range(ABSOLUTE_NS // IDLE_NS * 2):
        clock.now += IDLE_NS // 2
        sessions.principal(secret)
    clock.now += 10**9
    assert sessions.principal(secret) is None, "and not for ever"

    secret = sessions.log_in("ann", PASSWORD, "::1")
    sessions.log_out(secret)
    assert sessions.principal(secret) is None

    secret = sessions.log_in("ann", PASSWORD, "::1")
    accounts.change(ann.id, role=Role.OPERATOR, sites=None, disabled=True)
    assert sessions.principal(secret) is None
    with pytest.raises(IdentityError):
        sessions.log_in("ann", PASSWORD, "::1")


def test_failed_logins_lock_the_name_for_a_while_even_for_the_right_password(
    engine: Engine, clock: HandClock
) -> None:
    Accounts(engine, clock).create("ann", PASSWORD, Role.VIEWER)
    sessions = Sessions(engine, clock)
    for _ in range(5):
        with pytest.raises(IdentityError) as failed:
            sessions.log_in("ann", "wrong", "::1")
        assert _reason(failed) is IdentityReason.BAD_CREDENTIALS
    with pytest.raises(IdentityError) as locked:
        sessions.log_in("ann", PASSWORD, "::1")
    assert _reason(locked) is IdentityReason.LOCKED_OUT
    clock.now += 3 * 10**9
    assert sessions.log_in("ann", PASSWORD, "::1")


def test_an_unknown_name_fails_like_a_wrong_password(engine: Engine, clock: HandClock) -> None:
    sessions = Sessions(engine, clock)
    with pytest.raises(IdentityError) as failed:
        sessions.log_in("nobody", PASSWORD, "::1")
    assert str(failed.value) == "wrong name or password"


def test_the_last_admin_cannot_be_lost(engine: Engine, clock: HandClock) -> None:
    accounts = Accounts(engine, clock)
    root = accounts.create("root", PASSWORD, Role.ADMIN)
    with pytest.raises(IdentityError, match="last admin"):
        accounts.change(root.id, role=Role.VIEWER, sites=None, disabled=False)
    accounts.create("second", PASSWORD, Role.ADMIN)
    assert accounts.change(root.id, role=Role.VIEWER, sites=None, disabled=False).role == "viewer"


def test_two_accounts_cannot_share_a_name(engine: Engine, clock: HandClock) -> None:
    accounts = Accounts(engine, clock)
    accounts.create("ann", PASSWORD, Role.VIEWER)
    with pytest.raises(IdentityError, match="already"):
        accounts.create("ANN", PASSWORD, Role.VIEWER)


def test_a_token_ends_by_expiry_revocation_and_with_its_owner(
    engine: Engine, clock: HandClock
) -> None:
    accounts, tokens = Accounts(engine, clock), Tokens(engine, clock)
    accounts.create("root", PASSWORD, Role.ADMIN)
    ann = accounts.create("ann", PASSWORD, Role.OPS, frozenset({"a"}))
    secret, token = tokens.create(
        "grafana",
        frozenset({Scope.READ, Scope.QUERY}),
        expires_ns=clock.now + 10**9,
        account_id=ann.id,
        sites=frozenset({"a", "b"}),
    )
    who = tokens.principal(secret)
    assert who is not None
    assert who.sites == frozenset({"a"})
    assert who.name == "ann (grafana)"
    assert tokens.list(ann.id)[0].used_ns == clock.now
    clock.now += 10**9
    assert tokens.principal(secret) is None

    secret, token = tokens.create("x", frozenset({Scope.READ}))
    tokens.revoke(token.id)
    assert tokens.principal(secret) is None

    secret, _ = tokens.create("y", frozenset({Scope.READ}), account_id=ann.id)
    accounts.change(ann.id, role=Role.OPS, sites=None, disabled=True)
    assert tokens.principal(secret) is None
    assert tokens.principal("tocsin_guess") is None


def test_nobody_revokes_the_token_of_another(engine: Engine, clock: HandClock) -> None:
    tokens = Tokens(engine, clock)
    _, token = tokens.create("x", frozenset({Scope.READ}))
    with pytest.raises(IdentityError):
        tokens.revoke(token.id, account_id=7)


@pytest.mark.parametrize(
    ("password", "good"), [("short", False), ("aaaaaaaaaaaa", False), (PASSWORD, True)]
)
def test_a_password_is_judged_by_length(password: str, good: bool) -> None:
    assert (password_problem(password) == "") is good
