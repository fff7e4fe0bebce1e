"""One connection: messages kept first and confirmed then, what is spoilt or not understood denied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from edge.drivers.gb26875.site import Transmitter
from edge.listening import Peer
from firmware_bridges.gb26875.app_data import read_app, time_bytes
from firmware_bridges.gb26875.frames import Command, Frame, encode_frame
from firmware_bridges.gb26875.samples import UPWARD
from firmware_bridges.gb26875.splitter import Item, Splitter, Spoilt
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk import DriverContext

_HALF_FRAME_S = 2.0


class Session:
    """Reads one peer until it goes. A link may carry several transmitters."""

    def __init__(
        self,
        peer: Peer,
        context: DriverContext,
        zone: timezone,
        find: Callable[[bytes], Transmitter | None],
        known: Callable[[Session, Transmitter], None],
    ) -> None:
        self._peer, self._context, self._zone = peer, context, zone
        self._find, self._known = find, known
        self._splitter = Splitter()
        self._junk = 0
        self._serial = 0
        self._heads: dict[str, Frame] = {}  # the last frame of each transmitter
        self._waiting: dict[tuple[str, int], asyncio.Future[Frame]] = {}
        self._closing = False

    async def run(self) -> None:
        """Until the peer goes or is refused."""
        while not self._closing:
            data = await self._read()
            if data == b"":
                break
            for item in self._splitter.feed(data) if data else self._splitter.silence():
                await self._item(item)
                if self._closing:
                    break
            junk = self._splitter.counts["junk_bytes"]
            if junk > self._junk:
                self._context.count("gb26875.junk_bytes", junk - self._junk)
                self._junk = junk
        self._peer.close()

    async def _read(self) -> bytes | None:
        """The next bytes; None when half a frame waits too long for the rest."""
        if not self._splitter.pending:
            return await self._peer.read()
        try:
            async with asyncio.timeout(_HALF_FRAME_S):
                return await self._peer.read()
        except TimeoutError:
            return None

    async def ask(
        self, transmitter: Transmitter, command: Command, app: bytes, limit_s: float
    ) -> Frame:
        """Send a command and wait for the frame that answers it.

        Raises:
            TimeoutError: nothing came.
        """
        got: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        serial, self._serial = self._serial, (self._serial + 1) & 0xFFFF
        self._waiting[transmitter.id, serial] = got
        try:
            async with asyncio.timeout(limit_s):
                await self._send(transmitter, serial, command, app)
                return await got
        finally:
            self._waiting.pop((transmitter.id, serial), None)

    def now(self) -> datetime:
        """The gateway's time on the transmitters' clocks."""
        return datetime.fromtimestamp(self._context.clock.now_ns() / 1e9, self._zone)

    async def _send(
        self, transmitter: Transmitter, serial: int, command: Command, app: bytes = b""
    ) -> None:
        data = self._made(self._heads[transmitter.id], serial, command, app)
        self._context.frame(transmitter.id, "tx", data)
        await self._peer.send(data)

    def _made(self, head: Frame, serial: int, command: Command, app: bytes = b"") -> bytes:
        return encode_frame(
            Frame(
                serial,
                head.version,
                time_bytes(self.now()),
                source=head.destination,
                destination=head.source,
                command=command,
                app=app,
            )
        )

    async def _item(self, item: Item) -> None:
        if isinstance(item, CodecError):
            self._context.count(f"gb26875.{item.reason.value}", 1)
            return
        if isinstance(item, Spoilt):
            self._context.count(f"gb26875.{item.error.reason.value}", 1)
            await self._peer.send(self._made(item.frame, item.frame.serial, Command.DENY))
            return
        transmitter = self._find(item.source)
        if transmitter is None:
            await self._peer.send(self._made(item, item.serial, Command.DENY))
            self._closing = not self._heads
            return
        new, self._heads[transmitter.id] = transmitter.id not in self._heads, item
        self._context.frame(transmitter.id, "rx", encode_frame(item))
        if new:
            self._peer.identified(transmitter.id)
            self._known(self, transmitter)
        await self._frame(transmitter, item)

    async def _frame(self, transmitter: Transmitter, frame: Frame) -> None:
        if frame.command in (Command.CONFIRM, Command.DENY, Command.RESPOND):
            if frame.command == Command.RESPOND:
                await self._kept(transmitter, frame)
            waiting = self._waiting.get((transmitter.id, frame.serial))
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
        elif frame.command == Command.DATA and await self._kept(transmitter, frame):
            await self._send(transmitter, frame.serial, Command.CONFIRM)
        else:
            await self._send(transmitter, frame.serial, Command.DENY)

    async def _kept(self, transmitter: Transmitter, frame: Frame) -> bool:
        """Whether all that the frame tells is durable now; data that is empty keeps the link alive.

        Whole objects are kept whatever stands beside them: a fire is not lost for a byte too many or too few.
        """
        if not frame.app:
            return True
        told, error = read_app(frame.app)
        kind, objects = frame.app[0], told.get("objects")
        if error is not None:
            self._context.count(f"gb26875.{error.reason.value}", 1)
            self._context.log.warning("%s, type %d: %s", transmitter.id, kind, error.message)
        elif kind not in UPWARD or objects is None:
            self._context.count("gb26875.not_kept", 1)
            self._context.log.info("%s: type %d is not kept", transmitter.id, kind)
        if kind not in UPWARD or objects is None:
            return False
        await self._keep(transmitter, frame, kind, objects)
        return error is None or error.reason is CodecReason.LENGTH  # then only something follows

    async def _keep(
        self, transmitter: Transmitter, frame: Frame, kind: int, objects: Iterable[dict[str, Any]]
    ) -> None:
        async with transmitter.keeping:
            if transmitter.told(frame):
                self._context.count("gb26875.resent", 1)
                return
            samples, holders = transmitter.rows(kind, tuple(objects), self._context.clock.now_ns())
            if samples:
                await self._context.keep(samples)
            transmitter.settle(frame, holders)
