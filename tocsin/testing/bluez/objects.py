"""The objects BlueZ shows of a peripheral: paths, interfaces, properties (BlueZ 5.66, doc/device-api.txt, gatt-api.txt)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbus_fast import Variant

from tocsin.testing.bluez.peripheral import Advertisement, Peripheral

ADAPTER_PATH = "/org/bluez/hci0"
ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
SERVICE, CHARACTERISTIC = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"

Properties = dict[str, Variant]
Interfaces = dict[str, Properties]


def adapter_object() -> Interfaces:
    """The adapter: switched on, able to be a central."""
    return {
        ADAPTER: {
            "Address": Variant("s", "00:00:00:00:00:01"),
            "AddressType": Variant("s", "public"),
            "Name": Variant("s", "private"),
            "Alias": Variant("s", "private"),
            "Powered": Variant("b", True),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central", "peripheral"]),
            "UUIDs": Variant("as", []),
        }
    }


def device_path(address: str) -> str:
    """A peripheral's object path."""
    return f"{ADAPTER_PATH}/dev_{address.replace(':', '_').upper()}"


def device_object(address: str, told: Advertisement) -> Interfaces:
    """A peripheral that was heard and is not connected."""
    return {
        DEVICE: {
            "Address": Variant("s", address),
            "AddressType": Variant("s", "random"),
            "Alias": Variant("s", told.name or address.replace(":", "-")),
            "Adapter": Variant("o", ADAPTER_PATH),
            "Paired": Variant("b", False),
            "Bonded": Variant("b", False),
            "Trusted": Variant("b", False),
            "Blocked": Variant("b", False),
            "LegacyPairing": Variant("b", False),
            "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False),
            **advertised(told),
        }
    }


def advertised(told: Advertisement) -> Properties:
    """The properties an advertisement changes."""
    makers = {company: Variant("ay", data) for company, data in told.makers.items()}
    named = {"Name": Variant("s", told.name)} if told.name else {}
    return {
        "RSSI": Variant("n", told.rssi_dbm),
        "UUIDs": Variant("as", list(told.services)),
        "ManufacturerData": Variant("a{qv}", makers),
        **named,
    }


def gatt_objects(peripheral: Peripheral, mtu: int) -> dict[str, Interfaces]:
    """Services and characteristics by path; handles count up from 1 as on a small device."""
    device = device_path(peripheral.address)
    found: dict[str, Interfaces] = {}
    handle = 0
    for service in peripheral.services:
        handle += 1
        service_path = f"{device}/service{handle:04x}"
        found[service_path] = {
            SERVICE: {
                "UUID": Variant("s", service.uuid),
                "Primary": Variant("b", True),
                "Device": Variant("o", device),
                "Includes": Variant("ao", []),
                "Handle": Variant("q", handle),
            }
        }
        for one in service.characteristics:
            handle += 2
            acquirable = {"NotifyAcquired": Variant("b", False)} if _tells(one.flags) else {}
            found[f"{service_path}/char{handle:04x}"] = {
                CHARACTERISTIC: {
                    "UUID": Variant("s", one.uuid),
                    "Service": Variant("o", service_path),
                    "Value": Variant("ay", b""),
                    "Flags": Variant("as", list(one.flags)),
                    "Handle": Variant("q", handle),
                    "MTU": Variant("q", mtu),
                    "Notifying": Variant("b", False),
                    **acquirable,
                }
            }
    return found


def _tells(flags: tuple[str, ...]) -> bool:
    return "notify" in flags or "indicate" in flags


def plain(interfaces: Mapping[str, Properties]) -> dict[str, dict[str, Any]]:
    """As they go onto the bus."""
    return {name: dict(properties) for name, properties in interfaces.items()}
