"""Virtual locks on bumble: on a real controller (`usb:0`), or in an air of their own with one more controller for a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

from bumble import att
from bumble.controller import Controller
from bumble.core import UUID, AdvertisingData, BaseBumbleError, PhysicalTransport
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address, LeFeatureMask
from bumble.link import LocalLink
from bumble.transport import open_transport
from bumble.transport.common import AsyncPipeSink, TransportSink, TransportSource

from firmware_bridges.lock import gatt
from firmware_bridges.lock.peripheral import LockPeripheral
from tocsin.testing.bluez.peripheral import AttError

_WAITING = 256  # values on their way to a client; one that takes none loses the connection
_FLAGS = b"\x06"  # general discoverable, LE only
_INTERVAL_MS = 100.0
_TICK_S, _LOOK_S = 1.0, 0.05
_T = TypeVar("_T")


class _Air(LocalLink):
    """bumble 0.0.236 stamps ACL data with the sender's random address even where the other side connected to another one."""

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if transport is not PhysicalTransport.LE or connection is None or receiver is None:
            super().send_acl_data(sender_controller, destination_address, transport, data)
            return
        source = connection.self_address
        asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, source, transport, data)


class _Link:
    """One client of one lock."""

    def __init__(self, lock: BumbleLock, connection: Connection) -> None:
        self._lock, self._connection = lock, connection
        self._values: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_WAITING)
        self._task = asyncio.create_task(self._send(), name="lock-link")

    @property
    def mtu(self) -> int:
        """ATT_MTU as it was agreed."""
        return int(self._connection.att_mtu)

    def send(self, uuid: str, value: bytes) -> None:
        """Notify or indicate, in order."""
        if self._values.full():
            self.drop()
        else:
            self._values.put_nowait((uuid, value))

    async def _send(self) -> None:
        while True:
            uuid, value = await self._values.get()
            one, device = self._lock.characteristics[uuid], self._lock.device
            if one.properties & Characteristic.Properties.INDICATE:
                await device.indicate_subscriber(self._connection, one, value)
            else:
                await device.notify_subscriber(self._connection, one, value)

    def drop(self) -> None:
        """Disconnect."""
        self._lock.spawn(self._connection.disconnect())

    def end(self) -> None:
        """The client is gone."""
        self._task.cancel()


class BumbleLock:
    """One lock with a GATT server on one controller; `run` carries it until cancelled."""

    def __init__(
        self, peripheral: LockPeripheral, source: TransportSource, sink: TransportSink
    ) -> None:
        self.peripheral = peripheral
        address = Address(peripheral.address, Address.RANDOM_DEVICE_ADDRESS)
        self.device = Device.with_hci("lock", address, source, sink)
        self.characteristics: dict[str, Characteristic[bytes]] = {
            uuid: Characteristic[bytes](
                uuid,
                _properties(flags),
                _permissions(flags),
                CharacteristicValue(read=self._reader(uuid), write=self._writer(uuid)),
            )
            for uuid, flags in gatt.PROPERTIES.items()
        }
        self.device.add_service(Service(gatt.SERVICE, list(self.characteristics.values())))
        self.device.on("connection", self._connected)
        self._link: _Link | None = None
        self._held = False
        self._shown: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _reader(self, uuid: str) -> Callable[[Connection], bytes]:
        def read(_connection: Connection) -> bytes:
            return _att(lambda: self.peripheral.read(uuid))

        return read

    def _writer(self, uuid: str) -> Callable[[Connection, bytes], None]:
        def write(connection: Connection, value: bytes) -> None:
            if self._link is None:  # only now is it known how long a frame may be
                self._link = _Link(self, connection)
                self.peripheral.connected(self._link)
            _att(lambda: self.peripheral.write(uuid, bytes(value)))

        return write

    def _connected(self, connection: Connection) -> None:
        self._held = True
        self._shown = None  # a connection ends advertising
        connection.on("disconnection", self._disconnected)

    def _disconnected(self, _reason: int) -> None:
        self._held = False
        if self._link is not None:
            self._link.end()
            self._link = None
            self.peripheral.disconnected()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside; what fails of it ends with the connection anyway."""
        task = asyncio.create_task(_quietly(work), name="lock-beside")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Switch the controller on, advertise, let time pass; until cancelled."""
        await self.device.power_on()
        ticked_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() - ticked_s >= _TICK_S:
                ticked_s = loop.time()
                self.peripheral.tick()
            await self._advertise()
            await asyncio.sleep(_LOOK_S)

    async def _advertise(self) -> None:
        told = None if self._held else self.peripheral.advertisement()
        data = told.makers[gatt.ADVERT_COMPANY] if told else None
        if data == self._shown:
            return
        if self._shown is not None and self.device.is_advertising:
            await self.device.stop_advertising()
        self._shown = data
        if data is None:
            return
        maker = gatt.ADVERT_COMPANY.to_bytes(2, "little") + data
        kinds = AdvertisingData.Type
        own = [(kinds.FLAGS, _FLAGS), (kinds.MANUFACTURER_SPECIFIC_DATA, maker)]
        service = UUID(gatt.SERVICE).to_bytes()
        answer = [(kinds.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, service)]
        await self.device.start_advertising(
            advertising_data=bytes(AdvertisingData(own)),
            scan_response_data=bytes(AdvertisingData(answer)),
            advertising_interval_min=_INTERVAL_MS,
            advertising_interval_max=_INTERVAL_MS,
        )


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    with suppress(BaseBumbleError, TimeoutError):
        await work


def _att(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except AttError as exc:
        raise att.ATT_Error(att.ErrorCode(exc.code)) from exc


def _properties(flags: Sequence[str]) -> Characteristic.Properties:
    found = Characteristic.Properties(0)
    for flag in flags:
        found |= Characteristic.Properties[flag.upper().replace("-", "_")]
    return found


def _permissions(flags: Sequence[str]) -> Characteristic.Permissions:
    found = Characteristic.Permissions(0)
    if "read" in flags:
        found |= Characteristic.READABLE
    if "write" in flags:
        found |= Characteristic.WRITEABLE
    return found


@asynccontextmanager
async def on_controller(lock: LockPeripheral, hci: str) -> AsyncIterator[None]:
    """One lock on the controller behind `hci` (`usb:0`)."""
    async with (
        await open_transport(hci) as transport,
        _running([BumbleLock(lock, transport.source, transport.sink)]),
    ):
        yield


@asynccontextmanager
async def own_air(locks: Sequence[LockPeripheral], client_hci: str) -> AsyncIterator[None]:
    """Locks in an air of their own, and one controller more for a client that opens `client_hci` (`tcp-server:host:port`)."""
    air = _Air()  # type: ignore[no-untyped-call]
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(await open_transport(client_hci))
        server: asyncio.Server | None = getattr(transport, "server", None)
        if server is not None:  # bumble's own leaves it open
            stack.callback(server.close)
        client = Controller(
            "client", host_source=transport.source, host_sink=transport.sink, link=air
        )
        client.public_address = Address("00:A0:50:F1:F2:F3", Address.PUBLIC_DEVICE_ADDRESS)
        client.random_address = Address("F0:F1:F2:F3:F4:F5")
        # bluetoothd would use both, and bumble's controller serves neither well (google/bumble issue 841)
        client.le_features &= ~(LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING)
        found = []
        for number, lock in enumerate(locks):
            controller = Controller(f"lock-{number}", link=air)
            found.append(BumbleLock(lock, controller, AsyncPipeSink(controller)))
        await stack.enter_async_context(_running(found))
        yield


@asynccontextmanager
async def _running(locks: Sequence[BumbleLock]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(lock.run(), name="lock-radio") for lock in locks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
