"""A virtual lock as a Bluetooth peripheral, whatever radio carries it: BlueZ on a private D-Bus, or bumble."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_bridges.lock import gatt
from firmware_bridges.lock.frames import MAX_FRAME_BYTES
from firmware_bridges.lock.happenings import (
    Advertise,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Happening,
    Indicate,
    Notify,
    Refuse,
    Tick,
    Written,
)
from firmware_bridges.lock.virtual import VirtualLock
from tocsin.grants.att import ATT_CODES
from tocsin.testing.bluez.peripheral import (
    Advertisement,
    AttError,
    Characteristic,
    Link,
    Service,
)

_READ_NOT_PERMITTED, _WRITE_NOT_PERMITTED = 0x02, 0x03
_ATT_HEADER_BYTES = 3


class LockPeripheral:
    """One lock in the air; a `tocsin.testing.bluez.Peripheral`. Call `tick` once a second."""

    services = (
        Service(
            gatt.SERVICE,
            tuple(Characteristic(uuid, flags) for uuid, flags in gatt.PROPERTIES.items()),
        ),
    )

    def __init__(self, lock: VirtualLock, address: str, rssi_dbm: int = -60) -> None:
        self.lock, self.address, self.rssi_dbm = lock, address, rssi_dbm
        self._link: Link | None = None
        self._number = 0
        self._advertised = b""
        self._carry(lock.advertised)

    @property
    def is_connected(self) -> bool:
        """Whether a client has it."""
        return self._link is not None

    def advertisement(self) -> Advertisement | None:
        """Nothing while a client has it."""
        if self._link is not None:
            return None
        makers = {gatt.ADVERT_COMPANY: self._advertised}
        return Advertisement((gatt.SERVICE,), makers, rssi_dbm=self.rssi_dbm)

    def connected(self, link: Link) -> None:
        """A client is there."""
        self._link = link
        self._number += 1
        frame_bytes = min(MAX_FRAME_BYTES, link.mtu - _ATT_HEADER_BYTES)
        self.happens(Connected(self._number, frame_bytes))

    def disconnected(self) -> None:
        """The client is gone."""
        self._link = None
        self.happens(Disconnected(self._number))

    def read(self, uuid: str) -> bytes:
        """INFO. Raises AttError for what cannot be read."""
        try:
            return self.lock.read(uuid)
        except KeyError:
            raise AttError(_READ_NOT_PERMITTED) from None

    def write(self, uuid: str, value: bytes) -> None:
        """A frame for CMD. Raises AttError: the lock refuses."""
        if uuid != gatt.CMD:
            raise AttError(_WRITE_NOT_PERMITTED)
        self.happens(Written(self._number, value))

    def happens(self, happening: Happening) -> None:
        """Something happens at the lock: a write, a door that is opened. Raises AttError where it refuses a write."""
        self._carry(self.lock.happens(happening))

    def tick(self) -> None:
        """Time passed."""
        self.happens(Tick())

    def restart(self) -> None:
        """Its battery was out."""
        if self._link is not None:
            self._link.drop()
        self._carry(self.lock.restart())

    def _carry(self, effects: Sequence[Effect]) -> None:
        refused: Refuse | None = None
        for effect in effects:
            match effect:
                case Advertise(data):
                    self._advertised = data
                case Indicate(_, frame) if self._link is not None:
                    self._link.send(gatt.RSP, frame)
                case Notify(_, frame) if self._link is not None:
                    self._link.send(gatt.LOG, frame)
                case Drop() if self._link is not None:
                    self._link.drop()
                case Refuse():
                    refused = effect
        if refused is not None:
            raise AttError(ATT_CODES[refused.reason])
