"""One peripheral in the range of an adapter: heard, connected, lost."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from dbus_fast import Variant

from tocsin.testing.bluez import objects
from tocsin.testing.bluez.objects import DEVICE
from tocsin.testing.bluez.peripheral import Advertisement, Faults, Peripheral

if TYPE_CHECKING:
    from tocsin.testing.bluez.adapter import Adapter


class Placed:
    """A peripheral, what goes wrong with it, and the connection to it; this is its `Link`."""

    def __init__(self, adapter: Adapter, peripheral: Peripheral, faults: Faults) -> None:
        self._adapter, self.peripheral, self.faults = adapter, peripheral, faults
        self.path = objects.device_path(peripheral.address)
        self._next_s = 0.0
        self._given_up = asyncio.Event()
        self.is_connected = False

    @property
    def mtu(self) -> int:
        """ATT_MTU of the connection."""
        return self.faults.mtu

    def heard(self, now_s: float) -> Advertisement | None:
        """Its advertisement, if one is due and it is heard."""
        if self.is_connected or self.faults.out_of_range or now_s < self._next_s:
            return None
        self._next_s = now_s + self.faults.advertise_every_s
        return self.peripheral.advertisement()

    async def reached(self) -> bool:
        """Wait until it answers a connection request; False when the client gave up before."""
        self._given_up.clear()
        await asyncio.sleep(self.faults.connect_delay_s)
        while self.faults.out_of_range or self.peripheral.advertisement() is None:
            if self.is_connected:
                break
            try:
                async with asyncio.timeout(0.02):
                    await self._given_up.wait()
                return False
            except TimeoutError:
                continue
        return not self._given_up.is_set()

    def take(self) -> None:
        """Connected. As with bluetoothd this is told before the request for it is answered."""
        if self.is_connected:
            return
        self.is_connected = True
        self.faults.waiting.clear()
        self.peripheral.connected(self)
        self._adapter.changed(self.path, DEVICE, Connected=Variant("b", True))

    async def resolve(self) -> None:
        """The services are found: now it can be used."""
        if self.is_connected:
            self._adapter.added(objects.gatt_objects(self.peripheral, self.faults.mtu))
            self._adapter.changed(self.path, DEVICE, ServicesResolved=Variant("b", True))

    async def write(self, uuid: str, value: bytes) -> bool:
        """A write; False when the link was lost over it. Raises AttError: the peripheral said no."""
        faults = self.faults
        if faults.drops_before():
            self.drop()
            return False
        lost = faults.drops_after()
        if lost:
            faults.silent, before = True, faults.silent
            try:
                self.peripheral.write(uuid, value)
            finally:
                faults.silent = before
                self.drop()
            return False
        await asyncio.sleep(faults.write_delay_s)
        self.peripheral.write(uuid, value)
        return True

    def send(self, uuid: str, value: bytes) -> None:
        """From the peripheral to the client."""
        for one, what in self.faults.outgoing(uuid, value):
            self._adapter.later(self.faults.late_s, partial(self._arrive, one, what))

    def _arrive(self, uuid: str, value: bytes) -> None:
        if self.is_connected:
            self._adapter.tell(self.path, uuid, value)

    def drop(self) -> None:
        """The connection is lost, or ended by either side."""
        self._given_up.set()
        if not self.is_connected:
            return
        self.is_connected = False
        self._adapter.changed(self.path, DEVICE, ServicesResolved=Variant("b", False))
        self._adapter.changed(self.path, DEVICE, Connected=Variant("b", False))
        self._adapter.removed(self.path + "/")
        self.peripheral.disconnected()
