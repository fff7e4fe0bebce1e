"""Messages to and from one connected lock, in frames as long as the connection allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.locks.radio import link_errors
from firmware_bridges.lock import gatt
from firmware_bridges.lock.frames import MAX_FRAME_BYTES, Message, Partial, joined, split
from tocsin.errors import (
    DeviceFaultError,
    DriverReason,
    GrantRefusedError,
    LinkError,
    LockRefusal,
)
from tocsin.sdk import Direction

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic

ANSWER_S = 5.0  # a lock answers within this
_WAITING = 64  # frames nobody has read; further ones are dropped and counted


class LockSaidNoError(DeviceFaultError):
    """The lock refused; the bolt did not move."""

    def __init__(self, refusal: LockRefusal | None, code: int) -> None:
        said = refusal.value if refusal else f"code 0x{code:02X}"
        super().__init__(
            DriverReason.EXCEPTION_CODE, f"the lock refuses: {said}", number=code, said=said
        )
        self.refusal = refusal


class Wire:
    """One connection. `show` sees each frame, `spoilt` counts those that are none."""

    def __init__(
        self,
        client: BleakClient,
        show: Callable[[Direction, bytes], None],
        spoilt: Callable[[], None],
    ) -> None:
        self._client, self._show, self._spoilt = client, show, spoilt
        self._frames: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(_WAITING)
        self._partial: dict[str, Partial | None] = {}
        self._numbers = 0
        self._frame_bytes = 0

    async def begin(self) -> None:
        """Listen to the lock.

        Raises:
            LinkError: the connection broke, or it is no lock of ours.
        """
        command = self._client.services.get_characteristic(gatt.CMD)
        if command is None:
            raise LinkError(DriverReason.REFUSED, "it has no service of ours: is it a lock?")
        self._frame_bytes = min(MAX_FRAME_BYTES, command.max_write_without_response_size)
        from bleak.exc import BleakGATTProtocolError

        try:
            with link_errors("it cannot be listened to"):
                async with asyncio.timeout(ANSWER_S):
                    for uuid in (gatt.RSP, gatt.LOG):
                        await self._client.start_notify(uuid, self._heard)
        except BleakGATTProtocolError as exc:
            raise LinkError(DriverReason.REFUSED, f"it lets nobody listen: {exc}") from exc

    def lost(self) -> None:
        """The connection is gone."""
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(None)

    def _heard(self, characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
        self._show("rx", bytes(value))
        if self._frames.full():
            self._spoilt()
            return
        self._frames.put_nowait((characteristic.uuid, bytes(value)))

    async def send(self, message: Message) -> None:
        """Returns when the lock has the whole message.

        Raises:
            LockSaidNoError: it refused it.
            LinkError: the connection broke over it, or it took nothing for 5 s.
        """
        from bleak.exc import BleakGATTProtocolError

        self._numbers = (self._numbers + 1) & 0xFF
        for frame in split(message.kind, message.body, self._frame_bytes, self._numbers):
            self._show("tx", frame)
            try:
                with link_errors("the connection broke"):
                    async with asyncio.timeout(ANSWER_S):
                        await self._write(frame)
            except BleakGATTProtocolError as exc:
                raise LockSaidNoError(gatt.refusal_of(int(exc.code)), int(exc.code)) from exc

    async def _write(self, frame: bytes) -> None:
        await self._client.write_gatt_char(gatt.CMD, frame, response=True)

    async def receive(self) -> Message:
        """The next whole message; bytes that are none are counted and passed over.

        Raises:
            LinkError: the connection broke.
        """
        while True:
            item = await self._frames.get()
            if item is None:
                self.lost()  # for whoever reads next
                raise LinkError(DriverReason.CLOSED, "the connection was lost")
            uuid, frame = item
            try:
                found = joined(self._partial.get(uuid), frame)
            except GrantRefusedError:
                self._partial[uuid] = None
                self._spoilt()
                continue
            if isinstance(found, Message):
                self._partial[uuid] = None
                return found
            self._partial[uuid] = found
