"""The two classes bleak asks a backend for, on one bumble device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble import att
from bumble.core import AdvertisingData, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt import Characteristic

_PROPERTIES: dict[Characteristic.Properties, CharacteristicPropertyName] = {
    Characteristic.Properties.READ: "read",
    Characteristic.Properties.WRITE: "write",
    Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Characteristic.Properties.NOTIFY: "notify",
    Characteristic.Properties.INDICATE: "indicate",
}


def scanner_of(device: Device) -> type[BaseBleakScanner]:
    """A scanner class bound to `device`."""

    class BumbleScanner(BaseBleakScanner):
        """Hears advertisements on one controller."""

        def __init__(
            self,
            detection_callback: Callable[..., Any] | None,
            service_uuids: list[str] | None,
            scanning_mode: str,
            **_kwargs: Any,
        ) -> None:
            super().__init__(detection_callback, service_uuids)

        async def start(self) -> None:
            self.seen_devices = {}
            device.on("advertisement", self._heard)
            async with _bleak_errors():
                await device.start_scanning(filter_duplicates=False)

        async def stop(self) -> None:
            device.remove_listener("advertisement", self._heard)
            async with _bleak_errors():
                await device.stop_scanning()

        def _heard(self, heard: Advertisement) -> None:
            told = _told(heard)
            if not self.is_allowed_uuid(told.service_uuids):
                return
            address = heard.address.to_string(with_type_qualifier=False)
            found = self.create_or_update_device(
                address, address, told.local_name, heard.address, told
            )
            self.call_detection_callbacks(found, told)

    return BumbleScanner


def _told(heard: Advertisement) -> AdvertisementData:
    data = heard.data
    makers: list[tuple[int, bytes]] = data.get_all(AdvertisingData.Type.MANUFACTURER_SPECIFIC_DATA)
    uuids = [
        str(uuid).lower()
        for kind in (
            AdvertisingData.Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
            AdvertisingData.Type.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
        )
        for group in data.get_all(kind)
        for uuid in group
    ]
    name = data.get(AdvertisingData.Type.COMPLETE_LOCAL_NAME)
    return AdvertisementData(
        local_name=name if isinstance(name, str) else None,
        manufacturer_data=dict(makers),
        service_data={},
        service_uuids=uuids,
        tx_power=None,
        rssi=heard.rssi,
        platform_data=(heard,),
    )


def client_of(device: Device, mtu: int) -> type[BaseBleakClient]:
    """A client class bound to `device`."""

    class BumbleClient(BaseBleakClient):
        """One connection over one controller."""

        def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
            super().__init__(address_or_ble_device, **kwargs)
            given = address_or_ble_device
            self._peer_address = given.details if isinstance(given, BLEDevice) else given
            self._connection: Connection | None = None
            self._peer: Peer | None = None

        @property
        def name(self) -> str:
            return self.address

        @property
        def mtu_size(self) -> int:
            return self._peer.gatt_client.mtu if self._peer else att.ATT_DEFAULT_MTU

        @property
        def is_connected(self) -> bool:
            return self._connection is not None

        async def connect(self, pair: bool, **kwargs: Any) -> None:
            async with _bleak_errors():
                connection = await device.connect(self._peer_address, timeout=self._timeout)
                self._connection = connection
                connection.on("disconnection", self._lost)
                peer = self._peer = Peer(connection)
                await peer.request_mtu(mtu)
                await peer.discover_services()
                for service in peer.services:
                    await service.discover_characteristics()
            self.services = _collection(peer)

        def _lost(self, reason: int) -> None:
            self._connection = None
            if self._disconnected_callback is not None:
                self._disconnected_callback()

        async def disconnect(self) -> None:
            connection = self._connection
            if connection is not None:
                async with _bleak_errors():
                    await connection.disconnect()

        async def pair(self, *args: Any, **kwargs: Any) -> None:
            raise NotImplementedError

        async def unpair(self) -> None:
            raise NotImplementedError

        async def read_gatt_char(
            self, characteristic: BleakGATTCharacteristic, **kwargs: Any
        ) -> bytearray:
            async with self._at_work():
                return bytearray(await characteristic.obj.read_value())

        async def read_gatt_descriptor(
            self, descriptor: BleakGATTDescriptor, **kwargs: Any
        ) -> bytearray:
            raise NotImplementedError

        async def write_gatt_char(
            self, characteristic: BleakGATTCharacteristic, data: Any, response: bool
        ) -> None:
            async with self._at_work():
                await characteristic.obj.write_value(bytes(data), with_response=response)

        async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
            raise NotImplementedError

        async def start_notify(
            self,
            characteristic: BleakGATTCharacteristic,
            callback: Callable[[bytearray], None],
            **kwargs: Any,
        ) -> None:
            async with self._at_work():
                await characteristic.obj.subscribe(lambda value: callback(bytearray(value)))

        async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
            async with self._at_work():
                await characteristic.obj.unsubscribe()

        @asynccontextmanager
        async def _at_work(self) -> AsyncIterator[None]:
            """Ends with an error when the connection does: bumble would wait for its answer for 30 s."""
            connection = self._connection
            if connection is None:
                raise BleakError("Not connected")
            task, gone = asyncio.current_task(), False

            def lost(_reason: int) -> None:
                nonlocal gone
                gone = True
                if task is not None:
                    task.cancel()

            connection.on("disconnection", lost)
            try:
                async with _bleak_errors():
                    yield
            except asyncio.CancelledError:
                if gone and task is not None and not task.uncancel():
                    raise BleakError("the connection was lost") from None
                raise
            finally:
                connection.remove_listener("disconnection", lost)

    return BumbleClient


def _collection(peer: Peer) -> BleakGATTServiceCollection:
    found = BleakGATTServiceCollection()
    for service in peer.services:
        ours = BleakGATTService(service, service.handle, str(service.uuid).lower())
        found.add_service(ours)
        for one in service.characteristics:
            names = [name for flag, name in _PROPERTIES.items() if flag in one.properties]
            room = lambda: peer.gatt_client.mtu - 3  # noqa: E731
            uuid = str(one.uuid).lower()
            found.add_characteristic(
                BleakGATTCharacteristic(one, one.handle, uuid, names, room, ours)
            )
    return found


@asynccontextmanager
async def _bleak_errors() -> AsyncIterator[None]:
    try:
        yield
    except att.ATT_Error as exc:
        raise BleakGATTProtocolError(exc.error_code) from exc
    except BaseBumbleError as exc:
        raise BleakError(str(exc)) from exc
