"""Which Bluetooth a gateway uses: the system's (BlueZ through bleak), or a controller of its own (bumble)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.locks.radio import Radio


@asynccontextmanager
async def open_radio(adapter: str, hci: str | None) -> AsyncIterator[Radio]:
    """The radio for the length of the block. `hci` names bumble's transport to a controller nobody else uses.

    Raises:
        MissingExtraError: bumble is not installed.
        LinkError: the controller cannot be opened.
    """
    if hci is None:
        yield Radio(adapter)
        return
    from edge.locks.own_controller import backends

    async with backends(hci) as found:
        yield Radio("", found)
