"""BlueZ on a private D-Bus with virtual peripherals, for unmodified bleak on a machine without Bluetooth.

Needs the Debian package `dbus` and dbus-fast (which bleak brings along on Linux). Start a `private_bus`, put its address
into the environment as `DBUS_SYSTEM_BUS_ADDRESS` before bleak is used, and run an `Adapter` with your peripherals.
"""

from tocsin.testing.bluez.adapter import Adapter
from tocsin.testing.bluez.bus import bus_program, private_bus
from tocsin.testing.bluez.peripheral import (
    Advertisement,
    AttError,
    Characteristic,
    Faults,
    Link,
    Peripheral,
    Service,
)

__all__ = [
    "Adapter",
    "Advertisement",
    "AttError",
    "Characteristic",
    "Faults",
    "Link",
    "Peripheral",
    "Service",
    "bus_program",
    "private_bus",
]
