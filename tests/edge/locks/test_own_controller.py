from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridges.lock.bumble_radio import own_air
from firmware_bridges.lock.gatt import Profile
from tests.edge.locks.conftest import Site
from tocsin.errors import GrantRefusedError, LinkError, LockRefusal
from tocsin.testing import free_port


@pytest.mark.parametrize("profile", list(Profile), ids=["A", "B"])
async def test_a_gateway_without_bluetoothd_opens_a_lock_over_its_own_controller(
    profile: Profile, tmp_path: Path
) -> None:
    site = Site(profile, tmp_path)
    lock, other = site.add(), site.add("hatch-2")
    port = free_port()
    async with (
        own_air([lock, other], f"tcp-server:127.0.0.1:{port}"),
        site.gateway(hci=f"tcp-client:127.0.0.1:{port}", find_s=5, connect_s=5),
    ):
        grant = site.grant()
        await site.unlock(grant)
        assert lock.lock.state.is_unlocked
        assert not other.lock.state.is_unlocked
        with pytest.raises(GrantRefusedError) as refused:
            await site.relock(grant, 2)
        assert refused.value.reason is LockRefusal.OCCUPIED
        await site.relock(grant)
        assert not lock.lock.state.is_unlocked


async def test_a_controller_that_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    site = Site(Profile.SIGNATURES, tmp_path)
    site.add()
    with pytest.raises(LinkError) as error:
        async with site.gateway(hci=f"tcp-client:127.0.0.1:{free_port()}"):
            pass
    assert "controller" in error.value.hint
