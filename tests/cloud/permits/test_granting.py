"""Keys and grants on a real state database; grants are checked as a gateway and a lock check them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from cloud.db import open_engine, upgrade
from cloud.lock_orders.rows import commissioned
from cloud.permits.granting import BACK_S, Granter, grants_of, void
from cloud.permits.holders import HolderKey, Holders, gateway_public
from cloud.permits.issuers import Issuers
from cloud.permits.locks import Locks, Profile
from cloud.permits.tables import permits
from cloud.sealing import Sealing
from tests.cloud.identity.test_identity import HandClock
from tocsin.errors import GrantRefusedError, LockKeyError, LockKeyReason
from tocsin.grants.claims import Op, encode_claims
from tocsin.grants.grant import PROOF_HOLD, capability_key, check, verify
from tocsin.grants.ids import id_of
from tocsin.grants.lock_keys import open_sealed
from tocsin.grants.primitives import exchange_public, public_key, sign

S = 10**9
LOCK, KEY, SEED, GATEWAY = b"LOCK0001", b"k" * 32, b"s" * 32, b"g" * 32
PERMIT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Desk:
    """Everything grants need."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.engine: Engine = open_engine(folder / "state.db")
        upgrade(self.engine)
        sealing = Sealing.of(folder / "secrets.key")
        self.issuers = Issuers(self.engine, self.clock, sealing)
        self.locks = Locks(self.engine, self.clock, sealing, commissioned)
        self.holders = Holders(self.engine, self.clock, self.locks)
        self.granter = Granter(self.issuers, self.locks)

    def ready(self, profile: Profile = "A") -> HolderKey:
        """One lock, one phone, one gateway, one permit."""
        self.locks.commission(LOCK, KEY, site="north", device="lock-1", profile=profile, by="tech")
        self.holders.register_gateway("gw", exchange_public(GATEWAY))
        with self.engine.begin() as c:
            row = {"id": PERMIT, "site": "north", "space": "s", "gateway": "gw", "state": "active"}
            more = {"live": True, "changed_ns": 0, "basis": b"{}", "told": 0}
            c.execute(insert(permits).values(row | more))
        proof = sign(SEED, PROOF_HOLD + b"ann")
        return self.holders.register("ann", public_key(SEED), proof, "phone")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.engine.dispose()


@pytest.mark.parametrize("profile", ["A", "B"])
def test_a_grant_opens_this_lock_for_this_phone_for_half_an_hour_at_most(
    desk: Desk, profile: Profile
) -> None:
    ann = desk.ready(profile)
    now, until = desk.clock.now, desk.clock.now + 8 * 3600 * S
    with desk.engine.begin() as c:
        lock = desk.locks.at(c, "north", "lock-1")
        assert lock is not None
        one = desk.granter.issue(
            c, permit=PERMIT, lock=lock, holder=ann, gateway="gw", until_ns=until, now_ns=now
        )
        two = desk.granter.issue(
            c, permit=PERMIT, lock=lock, holder=ann, gateway="gw", until_ns=until, now_ns=now
        )
        issuers = desk.issuers.live(c)
    assert one is not None
    assert two is not None
    claims = verify(one.cose, issuers).claims
    check(claims, lock_id=LOCK, now_s=now // S)
    assert (claims.exp - claims.nbf, claims.nbf) == (1800, now // S - BACK_S)
    assert (claims.pmt, claims.gw, claims.sub.hex()) == (id_of(PERMIT), id_of("gw"), ann.holder)
    assert claims.ops == Op.UNLOCK | Op.RELOCK
    assert [g.ctr for g in (one, two)] == [1, 2]
    if profile == "A":
        secret = open_sealed(one.sealed_key, GATEWAY, context=b"grant " + claims.cti)
        assert secret == capability_key(KEY, encode_claims(claims))
        with pytest.raises(GrantRefusedError):
            open_sealed(one.sealed_key, b"h" * 32, context=b"grant " + claims.cti)
    else:
        assert one.sealed_key == b""
    desk.engine.dispose()
    files = [p.read_bytes() for p in Path(str(desk.engine.url.database)).parent.iterdir()]
    assert not any(KEY in stored for stored in files)


def test_a_grant_ends_with_its_permit_and_none_is_issued_after(desk: Desk) -> None:
    ann = desk.ready()
    now = desk.clock.now
    with desk.engine.begin() as c:
        lock = desk.locks.at(c, "north", "lock-1")
        assert lock is not None
        made = [
            desk.granter.issue(
                c, permit=PERMIT, lock=lock, holder=ann, gateway="gw", until_ns=until, now_ns=now
            )
            for until in (now + 300 * S, now)
        ]
    assert made[0] is not None
    assert made[0].exp_ns == (now // S + 300) * S
    assert made[1] is None


def test_rescue_grants_live_a_day_and_open_nothing_alone(desk: Desk) -> None:
    ann = desk.ready()
    now, until = desk.clock.now, desk.clock.now + 90_000 * S
    with desk.engine.begin() as c:
        lock = desk.locks.at(c, "north", "lock-1")
        assert lock is not None
        desk.granter.issue(
            c, permit=PERMIT, lock=lock, holder=ann, gateway="gw", until_ns=until, now_ns=now, rescue=True
        )  # fmt: skip
        live = [g for g in grants_of(c, PERMIT) if g.is_live(now)]
        assert [(g.rescue, g.ops, g.exp_ns - g.nbf_ns) for g in live] == [
            (True, Op.RESCUE, 86_400 * S)
        ]
        assert len(void(c, PERMIT, now, rescue_too=True)) == 1
        assert not any(g.is_live(now) for g in grants_of(c, PERMIT))


def test_a_gateway_that_told_no_key_gets_no_secret(desk: Desk) -> None:
    ann = desk.ready()
    with desk.engine.begin() as c:
        lock = desk.locks.at(c, "north", "lock-1")
        assert lock is not None
        with pytest.raises(LockKeyError) as caught:
            desk.granter.issue(
                c, permit=PERMIT, lock=lock, holder=ann, gateway="other",
                until_ns=desk.clock.now + S * 600, now_ns=desk.clock.now,
            )  # fmt: skip
    assert caught.value.reason is LockKeyReason.NO_GATEWAY_KEY


def test_the_first_key_that_a_gateway_tells_is_taken_and_another_one_is_not(desk: Desk) -> None:
    first, second = exchange_public(b"1" * 32), exchange_public(b"2" * 32)
    assert desk.holders.meet_gateway("new", first)
    assert desk.holders.meet_gateway("new", first)
    assert not desk.holders.meet_gateway("new", second)
    with desk.engine.connect() as c:
        assert gateway_public(c, "new") == first
    desk.holders.register_gateway("new", second)
    assert desk.holders.meet_gateway("new", second)
    with pytest.raises(LockKeyError):
        desk.holders.meet_gateway("other", bytes(32))


def test_revoking_a_lock_voids_every_number_issued_so_far(desk: Desk) -> None:
    ann = desk.ready()
    with desk.engine.begin() as c:
        lock = desk.locks.at(c, "north", "lock-1")
        assert lock is not None
        made = desk.granter.issue(
            c, permit=PERMIT, lock=lock, holder=ann, gateway="gw",
            until_ns=desk.clock.now + 600 * S, now_ns=desk.clock.now,
        )  # fmt: skip
        issuers = desk.issuers.live(c)
    assert made is not None
    told = desk.locks.revoke(LOCK.hex(), "boss", gateways_too=True)
    assert (told.min_ctr, told.epoch, told.changed_by) == (2, 2, "boss")
    with pytest.raises(GrantRefusedError, match="revoked"):
        check(
            verify(made.cose, issuers).claims,
            lock_id=LOCK,
            now_s=desk.clock.now // S,
            min_ctr=told.min_ctr,
        )


def test_issuer_keys_are_replaced_without_a_moment_in_which_nothing_verifies(desk: Desk) -> None:
    with desk.engine.begin() as c:
        first = desk.issuers.issuing(c)
    with pytest.raises(LockKeyError):
        desk.issuers.switch()
    second = desk.issuers.prepare()
    with pytest.raises(LockKeyError):
        desk.issuers.prepare()
    with desk.engine.begin() as c:
        assert desk.issuers.issuing(c) == first
        assert set(desk.issuers.live(c).keys) == {first.kid, second.kid}
    assert desk.issuers.switch() == second
    third = desk.issuers.prepare()
    with desk.engine.begin() as c:
        assert desk.issuers.issuing(c) == second
        assert set(desk.issuers.live(c).keys) == {second.kid, third.kid}
    states = desk.issuers.states()
    assert [s.kid for s in states] == ["0001", "0002", "0003"]
    assert [s.retired_ns is None for s in states] == [False, True, True]


def test_a_key_is_taken_once_and_only_from_whoever_holds_its_private_half(desk: Desk) -> None:
    public = public_key(SEED)
    for proof in (sign(b"x" * 32, PROOF_HOLD + b"ann"), sign(SEED, PROOF_HOLD + b"bob"), b""):
        with pytest.raises(LockKeyError):
            desk.holders.register("ann", public, proof, "phone")
    proof = sign(SEED, PROOF_HOLD + b"ann")
    made = desk.holders.register("ann", public, proof, "phone")
    assert desk.holders.register("ann", public, proof, "phone") == made
    with pytest.raises(LockKeyError) as caught:
        desk.holders.register("bob", public, sign(SEED, PROOF_HOLD + b"bob"), "phone")
    assert caught.value.reason is LockKeyReason.KEY_TAKEN
    with pytest.raises(LockKeyError):
        desk.holders.revoke(made.holder, "bob")
    assert desk.holders.revoke(made.holder, "ann").revoked_ns == desk.clock.now
    with pytest.raises(LockKeyError):
        desk.holders.register("ann", public, proof, "phone")


def test_a_lock_is_commissioned_once_in_one_place(desk: Desk) -> None:
    desk.locks.commission(LOCK, KEY, site="north", device="lock-1", profile="A", by="tech")
    for lock, key, device in (
        (LOCK, KEY, "lock-2"), (b"LOCK0002", KEY, "lock-1"), (b"short", KEY, "x"), (b"LOCK0003", bytes(32), "x"),
    ):  # fmt: skip
        with pytest.raises(LockKeyError):
            desk.locks.commission(lock, key, site="north", device=device, profile="A", by="tech")
    with pytest.raises(LockKeyError):
        desk.locks.get("00" * 8)
    assert [k.device for k in desk.locks.all()] == ["lock-1"]
