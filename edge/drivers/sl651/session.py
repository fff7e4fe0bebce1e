"""One connection: reports kept first and answered then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone

import msgspec

from edge.drivers.sl651.stations import Station
from edge.listening import Peer
from firmware_bridges.parts import Limits, Parts
from firmware_bridges.sl651.body import Body, head, parse
from firmware_bridges.sl651.frames import ACK, ENQ, EOT, ESC, NAK, STX, SYN, Frame, encode_frame
from firmware_bridges.sl651.samples import picture
from firmware_bridges.sl651.splitter import Item, Splitter
from tocsin.errors import CodecError
from tocsin.sdk import DriverContext

_KEEPALIVE, _HALF_FRAME_S = 0x2F, 2.0
_MOST_REFUSED = 32  # a station's noise is less; each costs the time of a CRC
_REPORTS = range(0x30, 0x37)  # told by the station itself: answered; all above are answers


class Terms(msgspec.Struct, frozen=True):
    """What a session needs of its driver."""

    context: DriverContext
    zone: timezone
    find: Callable[[str], Station | None]
    known: Callable[[Session, Station], None]
    stay_online: bool
    parts_wait_s: float


class Session:
    """Reads one peer until it goes. A link may carry several stations."""

    def __init__(self, peer: Peer, terms: Terms) -> None:
        self._peer, self._terms, self._context = peer, terms, terms.context
        self._splitter = Splitter()
        self._parts = Parts(Limits(wait_s=terms.parts_wait_s))
        self._counted: dict[str, int] = {}
        self._heads: dict[str, Frame] = {}  # the last frame of each station, by its address
        self._waiting: dict[tuple[str, int], asyncio.Future[Body]] = {}
        self._closing = False
        self._refused = 0  # frames in a row
        self._serial = 0

    async def run(self) -> None:
        """Until the peer goes or is refused."""
        while not self._closing and (data := await self._read()) != b"":
            for item in self._splitter.feed(data) if data else self._splitter.silence():
                await self._item(item)
                if self._closing:
                    break
            self._report_counts()
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

    def _report_counts(self) -> None:
        for name, n in (*self._splitter.counts.items(), *self._parts.counts.items()):
            if n != self._counted.get(name, 0):
                self._context.count(f"sl651.{name}", n - self._counted.get(name, 0))
                self._counted[name] = n

    def now(self) -> datetime:
        """The gateway's time on the stations' clocks."""
        return datetime.fromtimestamp(self._context.clock.now_ns() / 1e9, self._terms.zone)

    async def ask(self, station: Station, function: int, limit_s: float) -> Body:
        """Send a query or an order and wait for the answer.

        Raises:
            TimeoutError: nothing came.
        """
        address = station.config.station.lower()
        got: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._waiting[address, function] = got
        self._serial = self._serial % 0xFFFF + 1
        asked = msgspec.structs.replace(self._heads[address], function=function, part=None)
        try:
            async with asyncio.timeout(limit_s):
                await self._send(station, asked, self._serial, ENQ)
                return await got
        finally:
            self._waiting.pop((address, function), None)

    async def ask_missing(self) -> None:
        """Ask for the first part that did not come of each split message (NAK)."""
        for missing in self._parts.missing(self._context.clock.mono_ns()):
            address, function = missing.key if isinstance(missing.key, tuple) else ("", 0)
            station, frame = self._terms.find(address), self._heads.get(address)
            if station is not None and frame is not None:
                part = msgspec.structs.replace(
                    frame, function=function, parts=missing.total, part=missing.parts[0]
                )
                await self._send(station, part, 0, NAK)
        self._report_counts()

    async def _send(self, station: Station, to: Frame, serial: int, end: int) -> None:
        """Something down to the station that sent `to`."""
        start = STX if to.part is None else SYN
        body = head(serial, self.now())
        made = msgspec.structs.replace(to, up=False, start=start, end=end, body=body, trailing=0)
        data = encode_frame(made)
        self._context.frame(station.id, "tx", data)
        await self._peer.send(data)

    async def _item(self, item: Item) -> None:
        if isinstance(item, CodecError):
            self._context.count(f"sl651.{item.reason.value}", 1)
            self._refused += 1
            if self._refused > _MOST_REFUSED:
                self._context.count("sl651.closed_noisy", 1)
                self._closing = True
            return
        self._refused = 0
        frame, data = item
        if not frame.up:
            self._context.count("sl651.not_up", 1)
            return
        station = self._terms.find(frame.station)
        if station is None or not station.admits(frame.password):
            if station is not None:
                self._context.count("sl651.wrong_password", 1)
                self._context.log.warning("%s has another password; refused", station.id)
            self._closing = not self._heads
            return
        self._heads[frame.station] = frame
        self._context.frame(station.id, "rx", data)
        self._peer.identified(station.id)
        self._terms.known(self, station)
        await self._frame(station, frame)

    async def _frame(self, station: Station, frame: Frame) -> None:
        body = frame.body
        if frame.part is not None and frame.parts is not None:
            whole = self._parts.feed(
                (frame.station, frame.function),
                frame.parts,
                frame.part,
                body,
                self._context.clock.mono_ns(),
            )
            if whole is None:
                return
            body = b"".join(whole)
            frame = msgspec.structs.replace(frame, part=frame.parts)
        if frame.function == _KEEPALIVE:
            return
        told = parse(body)
        await self._keep(station, frame.function, body, told)
        if frame.function in _REPORTS:
            stay = ESC if self._terms.stay_online else EOT
            await self._send(station, frame, told.serial or 0, stay if frame.part is None else ACK)
        waiting = self._waiting.get((frame.station, frame.function))
        if waiting is not None and not waiting.done():
            waiting.set_result(told)

    async def _keep(self, station: Station, function: int, body: bytes, told: Body) -> None:
        """Returns once the report is durable; what is already kept is not stored again."""
        if picture(told):
            self._context.count("sl651.pictures", 1)
        if told.elements is None and function not in _REPORTS:
            return
        key = station.key(function, body, told)
        async with station.keeping:
            if key in station.told:
                self._context.count("sl651.resent", 1)
                return
            if told.elements is None:
                self._context.count("sl651.not_read", 1)
                told = msgspec.structs.replace(told, rest=body.hex())
            rows = station.plan.rows(
                station.spec,
                told,
                self._context.clock.now_ns(),
                self._terms.zone,
                station.config.slots,
            )
            if rows:
                await self._context.keep(rows)
            station.told.add(key)
