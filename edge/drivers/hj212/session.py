"""One connection: messages kept first and answered then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone

import msgspec

from edge.drivers.hj212.stations import Station
from edge.listening import Peer
from firmware_bridges.hj212.frames import Frame, encode_frame
from firmware_bridges.hj212.segment import Segment, joined, parameters_of, parse, segment
from firmware_bridges.hj212.splitter import Item, Splitter
from firmware_bridges.parts import Limits, Parts
from tocsin.errors import CodecError
from tocsin.sdk import DriverContext

REQUEST_ANSWER, RESULT, NOTICE_ANSWER, DATA_ANSWER = "9011", "9012", "9013", "9014"
SYSTEM = "91"  # ST of what the two sides say to each other
_ANSWERS = (REQUEST_ANSWER, RESULT, NOTICE_ANSWER, DATA_ANSWER)
ASKS_TIME, SET_TIME, TELLS_TIME = "1013", "1012", "1011"
_WANTS_ANSWER, _HALF_FRAME_S, _MOST_WAITING = 1, 2.0, 64
_MOST_REFUSED = 32  # a station's noise is less; each costs the time of a CRC


class Terms(msgspec.Struct, frozen=True):
    """What a session needs of its driver."""

    context: DriverContext
    zone: timezone
    find: Callable[[str], Station | None]
    known: Callable[[Session, Station], None]
    set_clocks: bool
    parts_wait_s: float


class Session:
    """Reads one peer until it goes. A link may carry several stations."""

    def __init__(self, peer: Peer, terms: Terms) -> None:
        self._peer, self._terms, self._context = peer, terms, terms.context
        self._splitter = Splitter()
        self._parts = Parts(Limits(wait_s=terms.parts_wait_s, asks=0))
        self._counted: dict[str, int] = {}
        self._heads: dict[str, Segment] = {}  # the last message of each station, by MN
        self._waiting: dict[tuple[str, str], asyncio.Queue[Segment]] = {}
        self._closing = False
        self._refused = 0  # frames in a row
        self._last_qn = ""

    async def run(self) -> None:
        """Until the peer goes or is refused."""
        while not self._closing and (data := await self._read()) != b"":
            for item in self._splitter.feed(data) if data else self._splitter.silence():
                await self._item(item)
                if self._closing:
                    break
            self._parts.missing(self._context.clock.mono_ns())  # nothing asks for a part: drops
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
                self._context.count(f"hj212.{name}", n - self._counted.get(name, 0))
                self._counted[name] = n

    def now(self) -> datetime:
        """The gateway's time on the stations' clocks."""
        return datetime.fromtimestamp(self._context.clock.now_ns() / 1e9, self._terms.zone)

    async def order(
        self, station: Station, cn: str, parameters: str = ""
    ) -> tuple[str, asyncio.Queue[Segment]]:
        """Send a command; its number, and where everything that answers to it arrives until `done`."""
        qn = f"{self.now():%Y%m%d%H%M%S%f}"[:17]
        if qn <= self._last_qn:
            qn = str(int(self._last_qn) + 1)
        self._last_qn = qn
        queue = self._waiting[station.config.mn, qn] = asyncio.Queue(_MOST_WAITING)
        own = cn not in (SET_TIME, TELLS_TIME)
        head = self._heads[station.config.mn].head
        st = head.get("ST", "") if own and head.get("ST") != SYSTEM else SYSTEM
        await self._send(station, st, cn, qn, parameters, wants=True)
        return qn, queue

    def done(self, station: Station, qn: str) -> None:
        """What comes with this number is not waited for any more."""
        self._waiting.pop((station.config.mn, qn), None)

    async def _send(
        self, station: Station, st: str, cn: str, qn: str, parameters: str = "", *, wants: bool
    ) -> None:
        told = self._heads[station.config.mn]
        version = (told.flag or 0) & ~3
        if (
            not version and cn in _ANSWERS
        ):  # the edition of 2005 names the request among the parameters
            parameters = f"QN={qn}" + (f";{parameters}" if parameters else "")
        head: dict[str, str | int] = {
            "QN": qn,
            "ST": st,
            "CN": cn,
            "PW": told.head.get("PW", ""),
            "MN": station.config.mn,
            "Flag": version | (_WANTS_ANSWER if wants else 0),
        }
        data = encode_frame(segment(head, parameters))
        self._context.frame(station.id, "tx", data)
        await self._peer.send(data)

    async def _item(self, item: Item) -> None:
        if isinstance(item, CodecError):
            self._context.count(f"hj212.{item.reason.value}", 1)
            self._refused += 1
            if self._refused > _MOST_REFUSED:
                self._context.count("hj212.closed_noisy", 1)
                self._closing = True
            return
        self._refused = 0
        frame, data = item
        told = parse(frame.segment)
        station = self._terms.find(told.head.get("MN", "")) if frame.crc_ok else None
        if not frame.crc_ok:
            station = self._variant(told, frame)
            if station is None:
                self._context.count("hj212.checksum", 1)
                return
        if station is None or not station.admits(told.head.get("PW", "")):
            if station is not None:
                self._context.count("hj212.wrong_password", 1)
                self._context.log.warning("%s has another password; refused", station.id)
            self._closing = not self._heads
            return
        self._heads[station.config.mn] = told
        self._context.frame(station.id, "rx", data)
        self._peer.identified(station.id)
        self._terms.known(self, station)
        await self._message(station, told, frame)

    def _variant(self, told: Segment, frame: Frame) -> Station | None:
        """The station whose configuration takes this CRC."""
        mn = told.head.get("MN", "")
        station = self._terms.find(mn) if mn else None
        if station is None or station.doubt(frame) is None:
            return None
        self._context.count("hj212.crc_variant", 1)
        return station

    async def _message(self, station: Station, told: Segment, frame: Frame) -> None:
        parameters, answers = parameters_of(frame.segment), 1
        if told.part is not None:
            number, count = told.part
            key = (station.config.mn, told.head.get("CN"), told.qn)
            whole = self._parts.feed(key, count, number, parameters, self._context.clock.mono_ns())
            if whole is None:
                return
            parameters, answers = joined(whole), count
            inside = parse(b"CP=&&" + parameters + b"&&")
            told = Segment(told.head, inside.fields, inside.factors)
        cn = told.head.get("CN", "")
        waiting = self._waiting.get((station.config.mn, told.qn))
        if cn not in _ANSWERS:
            await self._keep(station, told, parameters, station.doubt(frame) or 0)
        if waiting is not None and not waiting.full():
            waiting.put_nowait(told)
        if cn not in _ANSWERS and (told.flag or 0) & _WANTS_ANSWER:
            answer = NOTICE_ANSWER if cn == ASKS_TIME else DATA_ANSWER
            for _ in range(answers):
                await self._send(station, SYSTEM, answer, told.qn, wants=False)
        if cn == ASKS_TIME and self._terms.set_clocks:
            qn, _ = await self.order(station, SET_TIME, self.system_time())
            self.done(station, qn)

    def system_time(self) -> str:
        """The gateway's time as the parameters of 1012."""
        return f"SystemTime={self.now():%Y%m%d%H%M%S}"

    async def _keep(self, station: Station, told: Segment, parameters: bytes, doubt: int) -> None:
        """Returns once the message is durable; what is already kept is not stored again."""
        if told.head.get("CN") in (ASKS_TIME, TELLS_TIME):
            return
        key = station.key(told, parameters)
        async with station.keeping:
            if key in station.told:
                self._context.count("hj212.resent", 1)
                return
            now_ns, zone = self._context.clock.now_ns(), self._terms.zone
            rows = station.fresh(station.plan.rows(station.spec, told, now_ns, zone, doubt), told)
            if rows:
                await self._context.keep([row for row, _ in rows])
            for _, row_key in rows:
                if row_key is not None:
                    station.told.add(row_key)
            station.told.add(key)
