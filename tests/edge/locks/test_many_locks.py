from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import Tampered
from tests.edge.locks.conftest import Site
from tocsin.errors import GrantRefusedError, LinkError, LockRefusal, UsageError
from tocsin.testing import wait_until


async def test_one_of_twenty_in_range_is_opened_and_no_other(site: Site) -> None:
    locks = [site.add(f"hatch-{n}") for n in range(1, 21)]
    async with site.gateway():
        await site.unlock(name="hatch-13")
    assert [lock.lock.state.is_unlocked for lock in locks] == [n == 13 for n in range(1, 21)]


@pytest.mark.parametrize("mtu", [23, 100, 517])
async def test_any_mtu_carries_a_whole_day(site: Site, mtu: int) -> None:
    lock = site.add()
    site.faults["hatch-1"].mtu = mtu
    async with site.gateway():
        grant = site.grant()
        await site.unlock(grant)
        await site.relock(grant)
    assert not lock.lock.state.is_unlocked
    assert max(len(frame) for _, frame in site.frames) <= min(244, mtu - 3)


async def test_a_slow_advertiser_is_waited_for(site: Site) -> None:
    site.add()
    site.faults["hatch-1"].advertise_every_s = 0.8
    async with site.gateway():
        await site.unlock()


async def test_a_lock_out_of_range_is_said_and_its_neighbours_go_on(site: Site) -> None:
    site.add()
    site.add("hatch-2")
    site.faults["hatch-2"].out_of_range = True
    async with site.gateway(find_s=0.3):
        await wait_until(lambda: any("not heard" in error.message for error in site.errors))
        assert {error.device for error in site.errors} == {"hatch-2"}
        await site.unlock()
        with pytest.raises(LinkError, match="not heard"):
            await site.challenge("hatch-2")
        site.faults["hatch-2"].out_of_range = False
        await site.unlock(name="hatch-2")


async def test_what_a_lock_shows_in_the_air_brings_the_gateway_to_it(site: Site) -> None:
    lock = site.add()
    async with site.gateway():
        names = {one.quantity: i for i, one in enumerate(site.samples[0].spec.channels)}
        site.driver._clients["hatch-1"].tried_ns = 0  # the last contact is long ago
        lock.happens(Tampered(True))
        await wait_until(lambda: site.samples[-1].values[names["tamper"]] is True)
    assert [news for news in site.rules.news if news.state.tamper]


async def test_the_permits_word_stands_against_an_unlock_and_not_against_locking_an_empty_space(
    site: Site,
) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        await site.unlock(grant)
        site.rules.against = "the permit is suspended: H2S 12 ppm"
        with pytest.raises(GrantRefusedError, match="H2S 12 ppm") as refused:
            await site.unlock()
        assert refused.value.reason is LockRefusal.NOT_ALLOWED
        await site.relock(grant)
        assert not lock.lock.state.is_unlocked


async def test_work_that_stops_while_the_lock_reads_the_grant_opens_nothing(site: Site) -> None:
    lock = site.add()
    reads_first = site.profile is Profile.SIGNATURES  # the other opens by one message
    async with site.gateway():
        grant, nonce = site.grant(), await site.challenge()
        stops = partial(setattr, site.rules, "against", "suspended: H2S 12 ppm")
        site.at_move(lambda: None, stops, nth=1)
        if reads_first:
            with pytest.raises(GrantRefusedError, match="H2S 12 ppm") as refused:
                await site.opened(nonce, grant)
            assert refused.value.reason is LockRefusal.NOT_ALLOWED
        else:
            await site.opened(nonce, grant)
        assert lock.lock.state.is_unlocked is not reads_first


@pytest.mark.parametrize("words", [["3 inside"], ["", "3 inside"]], ids=["before", "found"])
async def test_nobody_is_locked_in_by_whoever_counts_otherwise_than_the_permit(
    site: Site, words: list[str]
) -> None:
    lock = site.add()
    async with site.gateway():
        grant = site.grant()
        await site.unlock(grant)
        site.rules.against_relock = list(words)
        with pytest.raises(GrantRefusedError, match="3 inside") as refused:
            await site.driver.command(
                "hatch-1", "relock", {"grant": grant, "inside": 0, "by": "cloud"}, 30
            )
        assert refused.value.reason is LockRefusal.OCCUPIED
        assert lock.lock.state.is_unlocked


async def test_what_no_lock_takes_is_a_usage_error(site: Site) -> None:
    site.add()
    async with site.gateway():
        for name, args in (
            ("sing", {}),
            ("unlock", {"nonce": "zz"}),
            ("unlock", {"colour": "red"}),
            ("relock", {"grant": "aa", "inside": "many"}),
            ("order", {"kind": "dance", "order": "aa"}),
            ("order", {"kind": "time", "order": "aa"}),
        ):
            with pytest.raises(UsageError):
                await site.driver.command("hatch-1", name, args, 5)


async def test_how_far_the_log_was_read_outlives_a_restart(site: Site, tmp_path: Path) -> None:
    lock = site.add()
    async with site.gateway():
        await site.unlock()
    before = site.journalled()
    assert [event.seq for event in before] == list(range(1, lock.lock.state.seq + 1))
    site.samples.clear()
    async with site.gateway():
        assert site.state().synced_seq == lock.lock.state.seq
    after = [event.seq for event in site.journalled()]
    assert after == list(range(1, lock.lock.state.seq + 1))
