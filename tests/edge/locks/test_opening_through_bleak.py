from __future__ import annotations

import pytest

from edge.locks.interface import HeldGrant
from firmware_bridges.lock.happenings import DoorMoved
from tests.edge.locks.conftest import Site
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.grants.claims import decode_claims
from tocsin.grants.sign1 import parse_sign1
from tocsin.testing import wait_until


async def test_a_lock_is_read_opened_and_locked_again(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        assert lock.lock.state.is_unlocked is False
        grant = site.grant()
        opened = await site.unlock(grant)
        assert lock.lock.state.is_unlocked
        lock.happens(DoorMoved(True))
        lock.happens(DoorMoved(False))
        closed = await site.relock(grant)
        assert not lock.lock.state.is_unlocked
        assert closed["event_seq"] > opened["event_seq"]
        names = {quantity.quantity: i for i, quantity in enumerate(site.samples[0].spec.channels)}
        await wait_until(lambda: site.samples[-1].values[names["locked"]] is True)
        assert any(sample.values[names["locked"]] is False for sample in site.samples)
    kinds = [one for data in site.told("lock.log") for one in data["events"]]
    assert len(kinds) == lock.lock.state.durable.acked_seq
    assert not site.told("lock.log-fault")


async def test_a_grant_that_came_without_its_secret_opens_by_the_one_kept_here(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        whole = site.grant()
        bare = HeldGrant(whole.raw)
        if whole.capability is not None:
            with pytest.raises(GrantRefusedError, match="capability"):
                await site.unlock(bare)
            claims = decode_claims(parse_sign1(whole.raw).payload)
            site.rules.kept[claims.cti] = whole.capability
        await site.unlock(bare)
        assert lock.lock.state.is_unlocked


async def test_relock_is_refused_while_anyone_is_inside_before_the_lock_is_asked(
    site: Site,
) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        await site.unlock(grant)
        site.frames.clear()
        for inside in (1, None):
            with pytest.raises(GrantRefusedError) as refused:
                await site.relock(grant, inside)
            assert refused.value.reason is LockRefusal.OCCUPIED
        assert lock.lock.state.is_unlocked
        assert not site.frames
