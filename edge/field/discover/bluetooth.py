"""Bluetooth Low Energy devices that advertise near the gateway (bleak, loaded only here)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.errors import DriverReason, LinkError, MissingExtraError

if TYPE_CHECKING:
    from bleak.backends.scanner import BaseBleakScanner

_SPARE_S = 10.0


class Heard(msgspec.Struct, frozen=True):
    """One device that advertised. `makers`: company identifiers (Bluetooth SIG) of its manufacturer data."""

    address: str
    name: str
    rssi_dbm: int
    services: list[str]
    makers: list[str]


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
        )
        for device, told in found.values()
    ]
    return sorted(heard, key=lambda one: (-one.rssi_dbm, one.address))


def to_toml(heard: list[Heard]) -> str:
    """A line to paste for each device, a comment before it."""
    parts = []
    for one in heard:
        told = [f"{one.rssi_dbm} dBm", *one.services, *(f"company {maker}" for maker in one.makers)]
        name = "".join(c for c in one.name if c.isprintable())
        parts.append(
            f'# {name or "without a name"}: {", ".join(told)}\n# address = "{one.address}"'
        )
    return "\n".join(
        [
            "# no driver of this version reads Bluetooth devices; their addresses, for a driver of your own:",
            *parts,
        ]
    )
