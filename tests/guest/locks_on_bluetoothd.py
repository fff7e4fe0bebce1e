"""The lock suite against the real bluetoothd and kernel; run by scripts/bluetoothd-guest inside its virtual machine.

bumble is the radio of both sides: one controller belongs to the kernel (hci_vhci), one to each virtual lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, Variant
from dbus_fast.aio import MessageBus

from firmware_bridges.lock.bumble_radio import own_air
from firmware_bridges.lock.gatt import Profile
from firmware_bridges.lock.happenings import DoorMoved
from tests.edge.locks.conftest import Site
from tests.edge.locks.test_refusals_through_bleak import refusal
from tocsin.errors import GrantRefusedError, LockRefusal
from tocsin.testing import wait_until

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]
SLOW: dict[str, Any] = {"find_s": 60, "connect_s": 60, "period_s": 3600}  # the machine is emulated


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Two locks of profile A in the air of the machine's own adapter; one adapter is all a boot has."""
    site = Site(Profile.MAC_ONLY, tmp_path)
    locks = [site.add(), site.add("hatch-2")]
    async with own_air(locks, "vhci"):
        await wait_until(_powered, 120)
        yield site


async def _powered() -> bool:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        reply = await bus.call(
            Message(
                destination="org.bluez",
                path="/org/bluez/hci0",
                interface="org.freedesktop.DBus.Properties",
                member="Set",
                signature="ssv",
                body=["org.bluez.Adapter1", "Powered", Variant("b", True)],
            )
        )
        return reply is not None and reply.error_name is None
    finally:
        bus.disconnect()


async def test_a_day_at_a_lock_on_the_real_bluetoothd(site: Site) -> None:
    lock = site.locks["hatch-1"]
    async with site.gateway(patience_s=300, **SLOW):
        grant = site.grant()
        await site.unlock(grant)
        assert lock.lock.state.is_unlocked
        assert not site.locks["hatch-2"].lock.state.is_unlocked
        assert await refusal(lambda: site.unlock(grant)) is LockRefusal.ALREADY_USED
        with pytest.raises(GrantRefusedError):
            await site.relock(grant, 1)
        lock.happens(DoorMoved(True))
        assert await refusal(lambda: site.relock(grant)) is LockRefusal.JAMMED_OR_OPEN
        lock.happens(DoorMoved(False))
        await site.relock(grant)
        assert not lock.lock.state.is_unlocked
        seen = [event.seq for event in site.journalled() if event.seq <= lock.lock.state.seq]
        assert len(seen) == sum(one.lock.state.durable.acked_seq for one in site.locks.values())
        assert not site.told("lock.log-fault")
