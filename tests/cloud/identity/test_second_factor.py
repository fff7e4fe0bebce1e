"""Second factors and permit roles on a real state database."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cloud.db import open_engine, upgrade
from cloud.identity.accounts import Accounts
from cloud.identity.permit_roles import PermitRole, PermitRoles, Post
from cloud.identity.rules import Role
from cloud.identity.second_factor import SecondFactors
from cloud.identity.totp import STEP_NS, code_at, step_of
from cloud.sealing import Sealing
from tests.cloud.identity.test_identity import PASSWORD, HandClock
from tocsin.errors import FolderError, IdentityError, IdentityReason, StoreError

R = IdentityReason


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "state.db")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def ann(engine: Engine, clock: HandClock) -> int:
    return Accounts(engine, clock).create("ann", PASSWORD, Role.OPERATOR).id


@pytest.fixture
def factors(engine: Engine, clock: HandClock, tmp_path: Path) -> SecondFactors:
    return SecondFactors(engine, clock, Sealing.of(tmp_path / "secrets.key"))


def _secret(factors: SecondFactors, account: int, code: str = "") -> bytes:
    text = factors.begin(account, PASSWORD, code).secret
    return base64.b32decode(text + "=" * (-len(text) % 8))


def _enrol(factors: SecondFactors, clock: HandClock, account: int) -> bytes:
    secret = _secret(factors, account)
    factors.confirm(account, code_at(secret, step_of(clock.now)))
    clock.now += STEP_NS
    return secret


def _refused(factors: SecondFactors, account: int, code: str) -> IdentityReason:
    with pytest.raises(IdentityError) as caught:
        factors.check(account, code)
    return caught.value.reason


def test_a_code_is_taken_once_and_no_older_one_after_it(
    factors: SecondFactors, clock: HandClock, ann: int
) -> None:
    secret = _enrol(factors, clock, ann)
    now = step_of(clock.now)
    factors.check(ann, code_at(secret, now + 1))  # a phone that is fast
    assert _refused(factors, ann, code_at(secret, now + 1)) is R.BAD_CODE
    assert _refused(factors, ann, code_at(secret, now)) is R.BAD_CODE
    clock.now += 2 * STEP_NS
    factors.check(ann, code_at(secret, step_of(clock.now)))


def test_the_code_that_confirmed_an_enrolment_is_spent(
    factors: SecondFactors, clock: HandClock, ann: int
) -> None:
    secret = _secret(factors, ann)
    code = code_at(secret, step_of(clock.now))
    assert _refused(factors, ann, code) is R.NO_SECOND_FACTOR  # not confirmed yet
    assert factors.confirm(ann, code).enrolled
    assert _refused(factors, ann, code) is R.BAD_CODE


def test_of_many_at_once_with_one_code_one_is_let_in(
    factors: SecondFactors, clock: HandClock, ann: int
) -> None:
    secret = _enrol(factors, clock, ann)
    code = code_at(secret, step_of(clock.now))

    def attempt(_: int) -> bool:
        try:
            factors.check(ann, code)
        except IdentityError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1


def test_guessing_is_slowed_and_even_the_right_code_must_wait(
    factors: SecondFactors, clock: HandClock, ann: int
) -> None:
    secret = _enrol(factors, clock, ann)
    for _ in range(5):
        assert _refused(factors, ann, "000000") is R.BAD_CODE
    assert _refused(factors, ann, code_at(secret, step_of(clock.now))) is R.LOCKED_OUT
    clock.now += STEP_NS
    factors.check(ann, code_at(secret, step_of(clock.now)))


def test_enrolling_needs_the_password_and_replacing_needs_the_old_code(
    factors: SecondFactors, clock: HandClock, ann: int
) -> None:
    with pytest.raises(IdentityError) as caught:
        factors.begin(ann, "wrong password")
    assert caught.value.reason is R.BAD_CREDENTIALS
    old = _enrol(factors, clock, ann)
    with pytest.raises(IdentityError) as caught:
        factors.begin(ann, PASSWORD)
    assert caught.value.reason is R.BAD_CODE
    new = _secret(factors, ann, code_at(old, step_of(clock.now)))
    clock.now += STEP_NS
    factors.check(ann, code_at(old, step_of(clock.now)))  # until the new one is confirmed
    clock.now += STEP_NS
    factors.confirm(ann, code_at(new, step_of(clock.now)))
    clock.now += STEP_NS
    assert _refused(factors, ann, code_at(old, step_of(clock.now))) is R.BAD_CODE


def test_an_admin_ends_a_lost_one_and_it_is_told_who_did(
    factors: SecondFactors, clock: HandClock, ann: int
) -> None:
    secret = _enrol(factors, clock, ann)
    factors.remove(ann, "root")
    told = factors.state(ann)
    assert (told.enrolled, told.removed_by, told.removed_ns) == (False, "root", clock.now)
    assert _refused(factors, ann, code_at(secret, step_of(clock.now))) is R.NO_SECOND_FACTOR
    with pytest.raises(IdentityError):
        factors.remove(ann, "root")
    assert _enrol(factors, clock, ann) != secret


def test_the_secret_is_in_no_file_but_sealed(
    factors: SecondFactors, clock: HandClock, ann: int, engine: Engine, tmp_path: Path
) -> None:
    secret = _enrol(factors, clock, ann)
    engine.dispose()
    assert all(secret not in path.read_bytes() for path in tmp_path.iterdir())
    assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "secrets.key").unlink()
    other = SecondFactors(engine, clock, Sealing.of(tmp_path / "secrets.key"))
    with pytest.raises(StoreError, match="does not open"):
        other.check(ann, "000000")


def test_a_sealed_secret_opens_for_its_purpose_alone(tmp_path: Path) -> None:
    sealing = Sealing.of(tmp_path / "k")
    sealed = sealing.seal(b"secret", "lock 1")
    assert Sealing.of(tmp_path / "k").open(sealed, "lock 1") == b"secret"
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong, purpose in ((sealed, "lock 2"), (flipped, "lock 1"), (b"", "lock 1")):
        with pytest.raises(StoreError):
            sealing.open(wrong, purpose)
    (tmp_path / "k").write_text("beef\n")
    with pytest.raises(FolderError, match="2 bytes"):
        Sealing.of(tmp_path / "k")


def test_a_role_counts_at_its_site_and_within_the_accounts_sites(
    engine: Engine, clock: HandClock, ann: int
) -> None:
    bob = Accounts(engine, clock).create("bob", PASSWORD, Role.VIEWER, frozenset({"north"})).id
    roles = PermitRoles(engine)
    roles.post(ann, [Post(PermitRole.APPROVER), Post(PermitRole.RESCUE, "south")])
    roles.post(bob, [Post(PermitRole.ENTRANT)])
    assert roles.roles(ann, "north") == {PermitRole.APPROVER}
    assert roles.roles(ann, "south") == {PermitRole.APPROVER, PermitRole.RESCUE}
    assert [p.name for p in roles.people("north")] == ["ann", "bob"]
    assert [p.name for p in roles.people("south")] == ["ann"]
    roles.post(ann, [])
    assert roles.roles(ann, "north") == frozenset()
    with pytest.raises(IdentityError):
        roles.post(99, [])
