"""Bluetooth Low Energy devices that advertise near the gateway (bleak, loaded only here)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from firmware_bridges.lock.gatt import Shown, read_advert
from tocsin.errors import DriverReason, LinkError, MissingExtraError

if TYPE_CHECKING:
    from bleak.backends.scanner import BaseBleakScanner

_SPARE_S = 10.0


class Heard(msgspec.Struct, frozen=True):
    """One device that advertised. `makers`: company identifiers (Bluetooth SIG) of its manufacturer data.

    `lock`: what a lock of docs/specs/lock.md shows of itself (`locked`, `door-open`, ...); empty for other devices.
    """

    address: str
    name: str
    rssi_dbm: int
    services: list[str]
    makers: list[str]
    lock: list[str] = []


async def listen(seconds: float, backend: type[BaseBleakScanner] | None = None) -> list[Heard]:
    """Who advertised within the time, the strongest first. `backend` takes the place of the system's Bluetooth.

    Raises:
        MissingExtraError: bleak is not installed.
        LinkError: no adapter, no Bluetooth service, switched off, or not permitted.
    """
    try:
        from bleak import BleakScanner
        from bleak.exc import BleakBluetoothNotAvailableError, BleakError
    except ImportError as exc:
        raise MissingExtraError("ble", exc.name or "bleak") from exc
    chosen: Any = {} if backend is None else {"backend": backend}
    try:
        async with asyncio.timeout(seconds + _SPARE_S):
            found = await BleakScanner.discover(seconds, return_adv=True, **chosen)
    except BleakBluetoothNotAvailableError as exc:
        raise LinkError(
            DriverReason.NO_PORT,
            f"Bluetooth is not available: {exc.reason.name.lower().replace('_', ' ')}",
            hint="is an adapter plugged in and switched on? `bluetoothctl list`, `rfkill list`",
        ) from exc
    except (BleakError, OSError, EOFError) as exc:
        raise LinkError(
            DriverReason.NO_PORT,
            f"no Bluetooth service answers on this machine: {exc}",
            hint="apt install bluez && systemctl start bluetooth; then `bluetoothctl list` shows the adapter",
        ) from exc
    except TimeoutError as exc:
        raise LinkError(
            DriverReason.NO_ANSWER, "the Bluetooth service does not end its search"
        ) from exc
    heard = [
        Heard(
            device.address,
            told.local_name or device.name or "",
            told.rssi,
            sorted(told.service_uuids),
            [f"0x{company:04X}" for company in sorted(told.manufacturer_data)],
            _lock(told.manufacturer_data.values()),
        )
        for device, told in found.values()
    ]
    return sorted(heard, key=lambda one: (-one.rssi_dbm, one.address))


def _lock(makers: Iterable[bytes]) -> list[str]:
    """What the first manufacturer data of our locks' form shows; anyone can send such."""
    for data in makers:
        advert = read_advert(data)
        if advert is not None:
            flags = [
                f.name.lower().replace("_", "-") for f in Shown if f in advert.shown and f.name
            ]
            return flags if Shown.UNLOCKED in advert.shown else ["locked", *flags]
    return []


def to_toml(heard: list[Heard]) -> str:
    """A block for the locks among them, to be completed from their commissioning; comments for the others."""
    locks = [one for one in heard if one.lock]
    parts = [
        f'# {_named(one)}: {", ".join(_told(one))}\n# address = "{one.address}"'
        for one in heard
        if not one.lock
    ]
    if locks:
        lines = ["[[drivers]]", 'type = "lock"', 'name = "hatches"']
        lines += ["# gateway_id, issuers, lock_id and key come from the commissioning of the locks"]
        lines += ["devices = ["]
        for number, one in enumerate(locks, 1):
            lines.append(f"  # {', '.join([*one.lock, *_told(one)])}")
            lines.append(f'  {{ id = "lock-{number}", address = "{one.address}" }},')
        parts.append("\n".join([*lines, "]"]))
    return "\n".join(parts)


def _named(one: Heard) -> str:
    return "".join(c for c in one.name if c.isprintable()) or "without a name"


def _told(one: Heard) -> list[str]:
    return [f"{one.rssi_dbm} dBm", *one.services, *(f"company {maker}" for maker in one.makers)]
