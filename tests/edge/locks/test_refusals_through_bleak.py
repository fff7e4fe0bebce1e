"""What the lock itself refuses, told with its own word; and couriers that go past our guard."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
from bleak import BleakClient, BleakScanner

from edge.drivers.lock.driver import identity
from edge.locks.dialogue import Dialogue
from edge.locks.interface import HeldGrant
from edge.locks.wire import LockSaidNoError, Wire
from firmware_bridges.lock import client
from firmware_bridges.lock.frames import Kind, Message
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import BatteryAt, DoorMoved
from tests.edge.locks.conftest import HOLDER, ISSUER, ISSUERS, KID, OTHER, Site
from tocsin.errors import LockRefusal
from tocsin.grants.claims import encode_claims
from tocsin.grants.grant import capability_key, issue, verify
from tocsin.grants.lock_keys import order_key
from tocsin.grants.lock_log import LockEventKind
from tocsin.grants.lock_orders import RevokeOrder, maced_order, signed_order


async def refusal(act: Callable[[], Any]) -> LockRefusal | None:
    """The lock's word."""
    with pytest.raises(LockSaidNoError) as refused:
        await act()
    return refused.value.refusal


async def test_the_same_grant_twice_opens_once(site: Site) -> None:
    site.add()
    async with site.gateway():
        grant = site.grant()
        await site.unlock(grant)
        assert await refusal(lambda: site.unlock(grant)) is LockRefusal.ALREADY_USED


async def test_a_revoked_grant_is_refused_by_the_lock(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        claims = verify(grant.raw, ISSUERS).claims
        order = RevokeOrder(site.lock_id("hatch-1"), 0, 1, ((claims.cti, claims.ctr),))
        if site.profile is Profile.SIGNATURES:
            told = {"form": "signed", "order": signed_order(order, kid=KID, seed=ISSUER)}
        else:
            told = {"form": "maced", "order": maced_order(order, order_key(site.keys["hatch-1"]))}
        await site.driver.command("hatch-1", "order", {"kind": "revoke", **told}, 30)
        assert await refusal(lambda: site.unlock(grant)) is LockRefusal.REVOKED
        assert not lock.lock.state.is_unlocked
    assert LockEventKind.REVOKED in [event.kind for event in site.journalled()]


async def test_a_lock_that_was_told_no_time_opens_nothing(site: Site) -> None:
    site.add()
    site.rules.tells_time = False
    async with site.gateway():
        assert site.state().time_quality == 0
        assert await refusal(site.unlock) is LockRefusal.TIME_UNKNOWN


async def test_an_empty_battery_an_open_door_and_a_stuck_bolt_are_told_apart(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        lock.happens(BatteryAt(5))
        assert await refusal(site.unlock) is LockRefusal.BATTERY_LOW
        lock.happens(BatteryAt(90))
        grant = site.grant()
        await site.unlock(grant)
        lock.happens(DoorMoved(True))
        assert await refusal(lambda: site.relock(grant)) is LockRefusal.JAMMED_OR_OPEN
        lock.happens(DoorMoved(False))
        lock.lock.is_stuck = True
        late = site.clock.ahead_s + 4
        site.at_move(lambda: None, lambda: setattr(site.clock, "ahead_s", late), nth=2)
        with pytest.raises(LockSaidNoError) as jammed:
            await site.relock(grant)
        assert jammed.value.refusal is LockRefusal.JAMMED_OR_OPEN


async def test_a_lock_that_is_not_ours_hears_hello_and_nothing_more(site: Site) -> None:
    site.add()
    site.keys["hatch-1"] = b"another key of the same length!!"
    with pytest.raises(TimeoutError):
        async with site.gateway(patience_s=3, by_address=True):
            pass
    assert "nothing more was sent" in site.errors[-1].message
    assert {frame[1] for way, frame in site.frames if way == "tx"} == {Kind.HELLO}
    assert not site.samples


@asynccontextmanager
async def courier(site: Site) -> AsyncIterator[Dialogue]:
    """A gateway that was taken over: it has this gateway's key and checks nothing."""
    lock = site.locks["hatch-1"]
    device = await BleakScanner.find_device_by_address(lock.address, 5)
    assert device is not None
    async with BleakClient(device) as connection:
        wire = Wire(connection, lambda way, data: None, lambda: None)
        await wire.begin()
        config = site.config()
        known = identity(config, config.devices[0])
        yield await Dialogue.begin(wire, known, lambda news: None, lambda: None)


async def present(site: Site, dialogue: Dialogue, grant: HeldGrant, seed: bytes = HOLDER) -> None:
    """Everything a courier can send to open with this grant."""
    nonce = dialogue.challenge.nonce
    if site.profile is Profile.SIGNATURES:
        await dialogue.ask(lambda s: client.grant(s, grant.raw))
        proof = site.proof(nonce, grant, seed=seed)
        await dialogue.move(lambda s: client.prove(s, proof.public, proof.signature))
    else:
        claims = encode_claims(verify(grant.raw, ISSUERS).claims)
        assert grant.capability is not None
        key = grant.capability
        await dialogue.move(lambda s: client.unlock_a(s, claims, key))


@pytest.fixture
async def tuned(site: Site) -> Site:
    """A lock that knows the time, and no gateway at it."""
    site.add()
    async with site.gateway():
        pass
    return site


async def test_a_stolen_gateway_opens_nothing_with_what_is_not_live(tuned: Site) -> None:
    now_s = int(time.time())
    cases: list[tuple[dict[str, Any], LockRefusal]] = [
        ({"nbf": now_s - 900, "exp": now_s - 100}, LockRefusal.OUTSIDE_WINDOW),
        ({"nbf": now_s + 300}, LockRefusal.OUTSIDE_WINDOW),
        ({"aud": b"lock9999"}, LockRefusal.WRONG_LOCK),
        ({"gw": b"gateway2"}, LockRefusal.NOT_ALLOWED),
    ]
    for claims, reason in cases:
        grant = tuned.grant(**claims)
        async with courier(tuned) as dialogue:
            assert await refusal(partial(present, tuned, dialogue, grant)) is reason
            again = tuned.grant()  # the nonce is burnt: even a good one needs a new HELLO
            burnt = await refusal(partial(present, tuned, dialogue, again))
            assert burnt is LockRefusal.NO_LIVE_NONCE
    assert not tuned.locks["hatch-1"].lock.state.is_unlocked
    async with courier(tuned) as dialogue:
        await present(tuned, dialogue, tuned.grant())
    assert tuned.locks["hatch-1"].lock.state.is_unlocked


async def test_forged_issuers_stolen_grants_and_widened_claims_fail_at_the_lock(
    tuned: Site,
) -> None:
    grant = tuned.grant()
    claims = verify(grant.raw, ISSUERS).claims
    if tuned.profile is Profile.SIGNATURES:
        forged = HeldGrant(issue(claims, kid=KID, seed=OTHER).raw)
        async with courier(tuned) as dialogue:
            word = await refusal(lambda: dialogue.ask(lambda s: client.grant(s, forged.raw)))
            assert word is LockRefusal.BAD_SIGNATURE
        async with courier(tuned) as dialogue:
            word = await refusal(lambda: present(tuned, dialogue, grant, seed=OTHER))
            assert word is LockRefusal.BAD_HOLDER_PROOF
    else:
        wider = msgspec.structs.replace(claims, uses=9)
        key = capability_key(tuned.keys["hatch-1"], encode_claims(claims))
        async with courier(tuned) as dialogue:
            body = encode_claims(wider)
            word = await refusal(lambda: dialogue.move(lambda s: client.unlock_a(s, body, key)))
            assert word is LockRefusal.BAD_SIGNATURE
    assert not tuned.locks["hatch-1"].lock.state.is_unlocked


async def test_guessing_locks_the_lock_out_and_the_inside_handle_never(tuned: Site) -> None:
    lock = tuned.locks["hatch-1"]
    wrong = HeldGrant(tuned.grant().raw, bytes(32))
    for _ in range(5):
        async with courier(tuned) as dialogue:
            await refusal(partial(present, tuned, dialogue, wrong, seed=OTHER))
    async with courier(tuned) as dialogue:
        word = await refusal(lambda: present(tuned, dialogue, tuned.grant()))
        assert word is LockRefusal.LOCKED_OUT
    tuned.clock.ahead_s += 61
    async with courier(tuned) as dialogue:
        await present(tuned, dialogue, tuned.grant())
    assert lock.lock.state.is_unlocked


async def test_frames_that_are_cut_swollen_or_replayed_are_refused(tuned: Site) -> None:
    lock = tuned.locks["hatch-1"]
    device = await BleakScanner.find_device_by_address(lock.address, 5)
    assert device is not None
    async with BleakClient(device) as connection:
        wire = Wire(connection, lambda way, data: None, lambda: None)
        await wire.begin()
        write, hello = wire._write, Message(Kind.HELLO, bytes(24))
        manglers: list[Callable[[bytes], bytes]] = [
            lambda frame: frame[:5],
            lambda frame: frame[:-1],
            lambda frame: frame + bytes(230),
            lambda frame: b"\x09" + frame[1:],
        ]
        for mangle in manglers:

            async def mangled(frame: bytes, change: Callable[[bytes], bytes] = mangle) -> None:
                await write(change(frame))

            wire._write = mangled  # type: ignore[method-assign]
            word = await refusal(lambda: wire.send(hello))
            assert word in (LockRefusal.MALFORMED, LockRefusal.UNSUPPORTED_VERSION)
        wire._write = write  # type: ignore[method-assign]
        await wire.send(hello)
        assert (await wire.receive()).kind is Kind.CHALLENGE
