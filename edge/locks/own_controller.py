"""bleak's scanner and client on a Bluetooth controller of our own, by bumble: no bluetoothd, no D-Bus, any transport.

Both classes are what bleak's `backend=` asks for (3.1); they are made for one open controller.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from edge.locks.radio import Backends
from tocsin.errors import DriverReason, LinkError, MissingExtraError

if TYPE_CHECKING:
    pass

_OPEN_S = 10.0
_MTU = 247


@asynccontextmanager
async def backends(hci: str) -> AsyncIterator[Backends]:
    """Scanner and client on the controller behind `hci`, for the length of the block.

    Raises:
        MissingExtraError: bumble is not installed.
        LinkError: the controller cannot be opened or does not answer.
    """
    try:
        from bumble.core import BaseBumbleError
        from bumble.device import Device
        from bumble.hci import Address
        from bumble.transport import open_transport

        from edge.locks.bumble_backend import client_of, scanner_of
    except ImportError as exc:
        raise MissingExtraError("radio", exc.name or "bumble") from exc
    transport = None
    try:
        async with asyncio.timeout(_OPEN_S):
            transport = await open_transport(hci)
            # a random static address: its two highest bits are ones (Core 5.4, Vol 6 Part B 1.3.2.1)
            address = bytes([*secrets.token_bytes(5), 0xC0 | secrets.randbits(6)])
            device = Device.with_hci(
                "tocsin",
                Address(address, Address.RANDOM_DEVICE_ADDRESS),
                transport.source,
                transport.sink,
            )
            await device.power_on()
    except (BaseBumbleError, OSError, ValueError, TimeoutError) as exc:
        if transport is not None:
            await transport.close()
        text = f"{hci}: {exc or 'the controller does not answer'}"
        hint = "is the controller plugged in, and does nobody else (bluetoothd) have it?"
        raise LinkError(DriverReason.NO_PORT, text, hint=hint) from exc
    try:
        yield Backends(scanner_of(device), client_of(device, _MTU), transport.source.terminated)
    finally:
        await transport.close()
