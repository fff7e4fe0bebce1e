"""`org.bluez` with one adapter and any number of peripherals, answered over D-Bus as bluetoothd does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tocsin.testing.bluez import objects
from tocsin.testing.bluez.objects import ADAPTER, ADAPTER_PATH, CHARACTERISTIC, DEVICE, Interfaces
from tocsin.testing.bluez.peripheral import AttError, Faults, Peripheral
from tocsin.testing.bluez.radio import Placed

_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_TICK_S = 0.01


class BluezError(Exception):
    """Answered as `org.bluez.Error.<name>`."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name if "." in name else f"org.bluez.Error.{name}"


class Adapter:
    """One Bluetooth adapter. `place` puts a peripheral into its range; `run` answers while its block lasts."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._objects: dict[str, Interfaces] = {ADAPTER_PATH: objects.adapter_object()}
        self._placed: dict[str, Placed] = {}  # by device path
        self._scanners: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[str, Callable[[Message], Awaitable[tuple[str, list[Any]]]]] = {
            "GetManagedObjects": self._managed,
            "Get": self._get,
            "GetAll": self._get_all,
            "Set": self._set,
            "SetDiscoveryFilter": _nothing,
            "StartDiscovery": self._start_discovery,
            "StopDiscovery": self._stop_discovery,
            "RemoveDevice": self._remove,
            "Connect": self._connect,
            "Disconnect": self._disconnect,
            "ReadValue": self._read,
            "WriteValue": self._write,
            "StartNotify": self._notify,
            "StopNotify": self._notify,
        }

    def place(self, peripheral: Peripheral, faults: Faults | None = None) -> Faults:
        """Put a peripheral into range; what it gives back is where to make it fail."""
        placed = Placed(self, peripheral, faults or Faults())
        self._placed[placed.path] = placed
        return placed.faults

    @asynccontextmanager
    async def run(self, address: str) -> AsyncIterator[Adapter]:
        """Answer as `org.bluez` on the bus at `address`."""
        bus = self._bus = await MessageBus(bus_address=address).connect()
        bus.add_message_handler(self._take)
        await bus.request_name("org.bluez")
        self._spawn(self._advertise(), "advertise")
        try:
            yield self
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            bus.disconnect()
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"bluez-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Run `do` after so many seconds, at once for 0."""
        if delay_s <= 0:
            do()
            return

        async def wait() -> None:
            await asyncio.sleep(delay_s)
            do()

        self._spawn(wait(), "later")

    def _take(self, message: Message) -> bool:
        if message.message_type is not MessageType.METHOD_CALL or message.member == "Introspect":
            return False
        self._spawn(self._answer(message), message.member or "call")
        return True

    async def _answer(self, message: Message) -> None:
        assert self._bus is not None  # noqa: S101 - it came through it
        call = self._calls.get(message.member or "")
        try:
            if call is None:
                raise BluezError("org.freedesktop.DBus.Error.UnknownMethod", str(message.member))
            signature, body = await call(message)
            reply = Message.new_method_return(message, signature, body)
        except BluezError as exc:
            reply = Message.new_error(message, exc.name, str(exc))
        except AttError as exc:
            text = f"Operation failed with ATT error: 0x{exc.code:02x}"
            reply = Message.new_error(message, "org.bluez.Error.Failed", text)
        await self._bus.send(reply)

    def signal(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        """Tell everyone on the bus."""
        if self._bus is not None and self._bus.connected:
            message = Message.new_signal(path, interface, member, signature, list(body))
            self._bus.send(message).add_done_callback(_sent)

    def changed(self, path: str, interface: str, **properties: Variant) -> None:
        """Set properties of an object and tell of them."""
        if path in self._objects:
            self._objects[path][interface].update(properties)
            self.signal(
                path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", interface, properties, []
            )

    def added(self, found: dict[str, Interfaces]) -> None:
        """New objects."""
        for path, interfaces in found.items():
            self._objects[path] = interfaces
            told = objects.plain(interfaces)
            self.signal("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", path, told)

    def removed(self, prefix: str) -> None:
        """All objects below a path are gone."""
        for path in [p for p in self._objects if p.startswith(prefix)]:
            names = list(self._objects.pop(path))
            self.signal("/", _OBJECTS, "InterfacesRemoved", "oas", path, names)

    async def _advertise(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            if not self._scanners:
                continue
            for path, placed in self._placed.items():
                told = placed.heard(loop.time())
                if told is None:
                    continue
                if path not in self._objects:
                    device = objects.device_object(placed.peripheral.address, told)
                    self.added({path: device})
                else:
                    self.changed(path, DEVICE, **objects.advertised(told))

    async def _managed(self, message: Message) -> tuple[str, list[Any]]:
        shown = {path: objects.plain(found) for path, found in self._objects.items()}
        return "a{oa{sa{sv}}}", [shown]

    def _of(self, message: Message, interface: str) -> dict[str, Variant]:
        found = self._objects.get(message.path or "", {}).get(interface)
        if found is None:
            text = f"no {interface} at {message.path}"
            raise BluezError("org.freedesktop.DBus.Error.UnknownObject", text)
        return found

    async def _get(self, message: Message) -> tuple[str, list[Any]]:
        interface, name = message.body
        found = self._of(message, interface).get(name)
        if found is None:
            raise BluezError("org.freedesktop.DBus.Error.InvalidArgs", f"no property {name}")
        return "v", [found]

    async def _get_all(self, message: Message) -> tuple[str, list[Any]]:
        return "a{sv}", [dict(self._of(message, message.body[0]))]

    async def _set(self, message: Message) -> tuple[str, list[Any]]:
        interface, name, value = message.body
        self._of(message, interface)
        self.changed(message.path or "", interface, **{name: value})
        return "", []

    async def _start_discovery(self, message: Message) -> tuple[str, list[Any]]:
        self._scanners.add(message.sender or "")
        self.changed(ADAPTER_PATH, ADAPTER, Discovering=Variant("b", True))
        return "", []

    async def _stop_discovery(self, message: Message) -> tuple[str, list[Any]]:
        self._scanners.discard(message.sender or "")
        self.changed(ADAPTER_PATH, ADAPTER, Discovering=Variant("b", bool(self._scanners)))
        return "", []

    async def _remove(self, message: Message) -> tuple[str, list[Any]]:
        self.removed(message.body[0])
        return "", []

    def _placed_at(self, message: Message) -> Placed:
        path = message.path or ""
        found = next((p for at, p in self._placed.items() if path.startswith(at)), None)
        if found is None or path not in self._objects:
            raise BluezError("org.freedesktop.DBus.Error.UnknownObject", f"nothing at {path}")
        return found

    async def _connect(self, message: Message) -> tuple[str, list[Any]]:
        placed = self._placed_at(message)
        if placed.faults.refuse_connect:
            raise BluezError("Failed", placed.faults.refuse_connect)
        if not await placed.reached():
            raise BluezError("Failed", "le-connection-abort-by-remote")
        placed.take()
        self._spawn(placed.resolve(), "resolved")
        return "", []

    async def _disconnect(self, message: Message) -> tuple[str, list[Any]]:
        self._placed_at(message).drop()
        return "", []

    def _characteristic(self, message: Message) -> tuple[Placed, str]:
        placed = self._placed_at(message)
        uuid: str = self._of(message, CHARACTERISTIC)["UUID"].value
        if not placed.is_connected:
            raise BluezError("NotConnected", "Not Connected")
        return placed, uuid

    async def _read(self, message: Message) -> tuple[str, list[Any]]:
        placed, uuid = self._characteristic(message)
        return "ay", [placed.peripheral.read(uuid)]

    async def _write(self, message: Message) -> tuple[str, list[Any]]:
        placed, uuid = self._characteristic(message)
        if not await placed.write(uuid, bytes(message.body[0])):
            raise BluezError("Failed", "Not connected")
        return "", []

    async def _notify(self, message: Message) -> tuple[str, list[Any]]:
        self._characteristic(message)
        on = message.member == "StartNotify"
        self.changed(message.path or "", CHARACTERISTIC, Notifying=Variant("b", on))
        return "", []

    def tell(self, device: str, uuid: str, value: bytes) -> None:
        """A notification arrives, if the client asked for any."""
        for path, found in self._objects.items():
            one = found.get(CHARACTERISTIC)
            if path.startswith(device) and one and one["UUID"].value == uuid:
                if one["Notifying"].value:
                    self.changed(path, CHARACTERISTIC, Value=Variant("ay", value))
                return


def _sent(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()  # a bus that went away hears nothing more


async def _nothing(message: Message) -> tuple[str, list[Any]]:
    return "", []
