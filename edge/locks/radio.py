"""The gateway's Bluetooth: hears who advertises, and connects. bleak is loaded only here, and only when it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.errors import DriverReason, LinkError, MissingExtraError

if TYPE_CHECKING:
    from bleak import BleakClient, BleakScanner
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

_START_S = 10.0  # for the Bluetooth service to begin or end a search
_RFKILL = "is an adapter plugged in and switched on? `bluetoothctl list`, `rfkill list`"


class Backends(msgspec.Struct, frozen=True):
    """What takes the place of the system's Bluetooth in bleak; `gone` is done once it is lost."""

    scanner: type[BaseBleakScanner]
    client: type[BaseBleakClient]
    gone: asyncio.Future[None]


class Sighting(msgspec.Struct, frozen=True):
    """One advertisement. `device` is bleak's own handle of who sent it."""

    device: BLEDevice
    address: str
    makers: tuple[bytes, ...]
    rssi_dbm: int


class Radio:
    """One adapter. Searching stops while a connection is made: few adapters do both at once."""

    def __init__(self, adapter: str = "", backends: Backends | None = None) -> None:
        self._bluez: dict[str, Any] = {"bluez": {"adapter": adapter}} if adapter else {}
        self._backends = backends
        self._air = asyncio.Lock()
        self._scanner: BleakScanner | None = None
        self._broken: asyncio.Future[None] | None = None

    async def listen(self, hear: Callable[[Sighting], None]) -> None:
        """Call `hear` with every advertisement until cancelled.

        Raises:
            MissingExtraError: bleak is not installed.
            LinkError: no adapter, no Bluetooth service, switched off, or not permitted.
        """
        try:
            from bleak import BleakScanner
        except ImportError as exc:
            raise MissingExtraError("ble", exc.name or "bleak") from exc

        def heard(device: BLEDevice, told: AdvertisementData) -> None:
            hear(
                Sighting(device, device.address, tuple(told.manufacturer_data.values()), told.rssi)
            )

        chosen: Any = {} if self._backends is None else {"backend": self._backends.scanner}
        self._broken = broken = asyncio.get_running_loop().create_future()
        if self._backends is not None:
            self._backends.gone.add_done_callback(lambda _: self._break(broken))
        with link_errors("the search cannot begin"):
            scanner = self._scanner = BleakScanner(heard, **self._bluez, **chosen)
        async with self._air:
            await self._search()
        try:
            await self._broken
        finally:
            self._scanner = None
            with link_errors("the search cannot be ended", swallow=True):
                async with asyncio.timeout(_START_S):
                    await scanner.stop()

    async def _search(self) -> None:
        if self._scanner is not None:
            with link_errors("the search cannot begin"):
                async with asyncio.timeout(_START_S):
                    await self._scanner.start()

    async def _pause(self) -> None:
        if self._scanner is not None:
            with link_errors("the search cannot be ended", swallow=True):
                async with asyncio.timeout(_START_S):
                    await self._scanner.stop()

    @asynccontextmanager
    async def connected(
        self, device: BLEDevice, timeout_s: float, lost: Callable[[], None]
    ) -> AsyncIterator[BleakClient]:
        """A connection for the length of the block; `lost` is called when the other side ends it.

        Raises:
            LinkError: not in range, refused, or not made within `timeout_s`.
        """
        from bleak import BleakClient

        chosen: Any = {} if self._backends is None else {"backend": self._backends.client}
        client = BleakClient(
            device, lambda _client: lost(), timeout=timeout_s, **self._bluez, **chosen
        )
        async with self._air:
            await self._pause()
            try:
                with link_errors("no connection"):
                    async with asyncio.timeout(timeout_s + 1.0):
                        await client.connect()
            finally:
                await self._resume()
        try:
            yield client
        finally:
            with link_errors("the connection does not end", swallow=True):
                async with asyncio.timeout(_START_S):
                    await client.disconnect()

    async def _resume(self) -> None:
        try:
            await self._search()
        except LinkError as exc:
            if self._broken is not None and not self._broken.done():
                self._broken.set_exception(exc)

    @staticmethod
    def _break(broken: asyncio.Future[None]) -> None:
        if not broken.done():
            broken.set_exception(LinkError(DriverReason.NO_PORT, "the controller is gone"))


class link_errors:  # noqa: N801 - reads as a statement
    """Turns what bleak and the system raise into LinkError; with `swallow` nothing is raised."""

    def __init__(self, what: str, *, swallow: bool = False) -> None:
        self._what, self._swallow = what, swallow

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: object
    ) -> bool:
        if exc is None or isinstance(exc, LinkError | asyncio.CancelledError):
            return False
        error = _link_error(self._what, exc)
        if error is None:
            return False
        if self._swallow:
            return True
        raise error from exc


def _link_error(what: str, exc: BaseException) -> LinkError | None:
    from bleak.exc import (
        BleakBluetoothNotAvailableError,
        BleakDeviceNotFoundError,
        BleakError,
        BleakGATTProtocolError,
    )

    if isinstance(exc, BleakGATTProtocolError):
        return None  # the device's own answer
    if isinstance(exc, BleakBluetoothNotAvailableError):
        reason = exc.reason.name.lower().replace("_", " ")
        text = f"Bluetooth is not available: {reason}"
        return LinkError(DriverReason.NO_PORT, text, hint=_RFKILL)
    if isinstance(exc, BleakDeviceNotFoundError):
        return LinkError(DriverReason.CLOSED, f"{what}: not in range")
    if isinstance(exc, TimeoutError):
        return LinkError(DriverReason.CLOSED, f"{what} in time: out of range, or taken by another")
    if isinstance(exc, FileNotFoundError | ConnectionRefusedError):
        return LinkError(
            DriverReason.NO_PORT,
            f"no Bluetooth service answers on this machine: {exc}",
            hint="apt install bluez && systemctl start bluetooth",
        )
    if isinstance(exc, BleakError | OSError | EOFError):
        return LinkError(DriverReason.REFUSED, f"{what}: {exc}")
    return None
