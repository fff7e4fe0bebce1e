"""One connection of one terminal: its messages, kept first and answered then."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timezone

from edge.drivers.jt808.config import same_phone
from edge.drivers.jt808.fleet import Vehicle
from edge.listening import Peer
from edge.shown import Pieces
from firmware_bridges.jt808.frames import FLAG, Frame, Header, decode_frame, encode_frame
from firmware_bridges.jt808.location import Location, decode_batch, decode_location
from firmware_bridges.jt808.messages import (
    Ack,
    Id,
    RegisterAck,
    RegisterResult,
    ResendRequest,
    Result,
    decode_ack,
    decode_auth,
    decode_register,
    encode_ack,
    encode_register_ack,
    encode_resend,
)
from firmware_bridges.jt808.reassembly import Limits, Reassembler, Whole
from firmware_bridges.jt808.samples import sample
from firmware_bridges.jt808.splitter import Splitter
from tocsin.errors import CodecError, CodecReason, DriverReason, LinkError
from tocsin.sdk import DriverContext

_LOCATED = (Id.LOCATION_ANSWER, Id.VEHICLE_CONTROL_ANSWER)
_ANSWERS = (Id.TERMINAL_ACK, Id.PARAMETERS, Id.ATTRIBUTES, *_LOCATED)
_MEDIA_HEAD_BYTES = 8
_ENCRYPTED = 1


class Terms:
    """What a session needs of its driver."""

    def __init__(
        self,
        context: DriverContext,
        zone: timezone,
        find: Callable[[str], Vehicle | None],
        *,
        require_auth: bool,
        parts_wait_s: float,
    ) -> None:
        self.context, self.zone, self.find = context, zone, find
        self.require_auth, self.parts_wait_s = require_auth, parts_wait_s


class Session:
    """Reads one peer until it goes. `vehicle` is set once it has authenticated."""

    def __init__(
        self,
        peer: Peer,
        terms: Terms,
        unknown: Callable[[str], None],
        known: Callable[[Session], None],
    ) -> None:
        self._peer, self._terms, self._context = peer, terms, terms.context
        self._unknown, self._known = unknown, known
        self._splitter = Splitter()
        self._pieces = Pieces(bytes((FLAG,)))
        self._device = ""
        self._parts = Reassembler(Limits(wait_s=terms.parts_wait_s))
        self._serial = 0
        self._head: Header | None = None
        self._waiting: dict[tuple[int, int], asyncio.Future[Whole]] = {}
        self._counted: dict[str, int] = {}
        self.vehicle: Vehicle | None = None
        self.closing = False

    async def run(self) -> None:
        """Until the peer goes or is refused."""
        while not self.closing and (data := await self._peer.read()):
            self._show_received(data)
            for item in self._splitter.feed(data):
                if isinstance(item, CodecError):
                    self._context.count(f"jt808.{item.reason.value}", 1)
                else:
                    await self._frame(item)
                if self.closing:
                    break
            self._report_counts()
        self._peer.close()

    def _show_received(self, data: bytes) -> None:
        for piece in self._pieces.feed(data):
            if not self._device:
                with suppress(CodecError):
                    vehicle = self._terms.find(decode_frame(piece).header.phone)
                    self._device = vehicle.id if vehicle is not None else ""
            self._context.frame(self._device, "rx", piece)

    def _report_counts(self) -> None:
        for name, n in (*self._splitter.counts.items(), *self._parts.counts.items()):
            if n != self._counted.get(name, 0):
                self._context.count(f"jt808.{name}", n - self._counted.get(name, 0))
                self._counted[name] = n

    async def ask_missing(self) -> None:
        """Ask for the parts that did not come (0x8003)."""
        for missing in self._parts.missing(self._context.clock.mono_ns()):
            if self._head is not None:
                wide = self._head.version is not None
                request = ResendRequest(missing.serial, missing.parts)
                await self.send(Id.RESEND_PARTS, encode_resend(request, wide))
        self._report_counts()

    async def send(self, msg_id: int, body: bytes = b"") -> int:
        """One message in the terminal's own edition; its serial."""
        assert self._head is not None  # noqa: S101 - nothing is sent before the terminal has spoken
        serial, self._serial = self._serial, (self._serial + 1) & 0xFFFF
        header = Header(msg_id, self._head.phone, serial, self._head.version)
        data = encode_frame(header, body)
        await self._peer.send(data)
        self._context.frame(self._device, "tx", data)
        return serial

    @property
    def is_2019(self) -> bool:
        """Whether bodies follow the 2019 edition."""
        return self._head is not None and self._head.version is not None

    async def ask(
        self, msg_id: int, body: bytes, answers: tuple[int, ...], limit_s: float
    ) -> Whole:
        """Send a command and wait for one of `answers`.

        Raises:
            TimeoutError: nothing came.
        """
        got: asyncio.Future[Whole] = asyncio.get_running_loop().create_future()
        serial = self._serial
        keys = [(answer, 0 if answer == Id.ATTRIBUTES else serial) for answer in answers]
        self._waiting.update(dict.fromkeys(keys, got))
        try:
            async with asyncio.timeout(limit_s):
                await self.send(msg_id, body)
                return await got
        finally:
            for key in keys:
                self._waiting.pop(key, None)

    def gone(self) -> None:
        """The link has ended: nothing that was asked is answered any more."""
        for waiting in self._waiting.values():
            if not waiting.done():
                text = "the terminal went before it answered"
                waiting.set_exception(LinkError(DriverReason.NO_ANSWER, text))

    async def _frame(self, frame: Frame) -> None:
        if self.vehicle is not None and not self._same(frame.header.phone):
            self._context.count("jt808.other_phone", 1)
            return
        self._head = frame.header
        if frame.header.encryption & _ENCRYPTED:
            self._context.count("jt808.encrypted", 1)
            await self._answer(frame.header, Result.UNSUPPORTED)
            return
        whole = self._parts.feed(frame, self._context.clock.mono_ns())
        if whole is None:
            return
        try:
            await self._message(whole)
        except CodecError as error:
            self._context.count(f"jt808.{error.reason.value}", 1)
            self._context.log.warning("0x%04X: %s", whole.header.msg_id, error.message)
            await self._answer(whole.header, Result.WRONG, whole.serials)

    def _same(self, phone: str) -> bool:
        return self.vehicle is not None and same_phone(self.vehicle.config.phone) == same_phone(
            phone
        )

    async def _answer(
        self, head: Header, result: Result, serials: Sequence[int] | None = None
    ) -> None:
        for serial in serials or (head.serial,):
            await self.send(Id.PLATFORM_ACK, encode_ack(Ack(serial, head.msg_id, result)))

    async def _message(self, whole: Whole) -> None:
        head = whole.header
        vehicle = self._terms.find(head.phone)
        if vehicle is None:
            await self._refuse(whole)
        elif head.msg_id == Id.REGISTER:
            await self._register(whole, vehicle)
        elif head.msg_id == Id.AUTH:
            await self._auth(whole, vehicle)
        elif self.vehicle is None and self._terms.require_auth:
            self._context.count("jt808.not_authenticated", 1)
            await self._answer(head, Result.FAILED, whole.serials)
        else:
            if self.vehicle is None:
                self._identify(vehicle)
            await self._told(whole, vehicle)

    async def _refuse(self, whole: Whole) -> None:
        self._unknown(whole.header.phone)
        if whole.header.msg_id == Id.REGISTER:
            refusal = RegisterAck(whole.header.serial, RegisterResult.NO_TERMINAL)
            await self.send(Id.REGISTER_ACK, encode_register_ack(refusal))
        else:
            await self._answer(whole.header, Result.FAILED, whole.serials)
        self.closing = True

    async def _register(self, whole: Whole, vehicle: Vehicle) -> None:
        asked = decode_register(whole.body, whole.header.version is not None)
        result, wanted = RegisterResult.OK, vehicle.config.terminal_id
        if wanted is not None and asked.terminal_id.strip() != wanted:
            self._context.count("jt808.wrong_terminal_id", 1)
            self._context.log.warning(
                "%s registers with terminal id %r; the configuration says %r",
                vehicle.id, asked.terminal_id, wanted,
            )  # fmt: skip
            result = RegisterResult.TERMINAL_TAKEN
        answer = RegisterAck(whole.header.serial, result, vehicle.code)
        await self.send(Id.REGISTER_ACK, encode_register_ack(answer))
        self.closing = result is not RegisterResult.OK

    async def _auth(self, whole: Whole, vehicle: Vehicle) -> None:
        told = decode_auth(whole.body, whole.header.version is not None)
        if hmac.compare_digest(told.auth_code.encode(), vehicle.code.encode()):
            self._identify(vehicle)
            await self._answer(whole.header, Result.OK)
            return
        self._context.count("jt808.wrong_auth_code", 1)
        await self._answer(whole.header, Result.FAILED)
        self.closing = True

    def _identify(self, vehicle: Vehicle) -> None:
        self.vehicle = vehicle
        self._peer.identified(vehicle.id)
        self._known(self)

    async def _told(self, whole: Whole, vehicle: Vehicle) -> None:
        head, body = whole.header, whole.body
        match head.msg_id:
            case Id.LOCATION:
                await self._keep(vehicle, head, [decode_location(body)])
            case Id.BATCH:
                batch = decode_batch(body)
                if batch.broken or batch.tail or len(batch.items) < batch.count:
                    self._context.count(
                        "jt808.broken_items", max(1, batch.count - len(batch.items))
                    )
                await self._keep(vehicle, head, batch.items)
            case _ if head.msg_id in _ANSWERS:
                if head.msg_id in _LOCATED:
                    await self._keep(vehicle, head, [decode_location(body[2:])])
                self._settle(whole)
                return
            case Id.HEARTBEAT | Id.LOGOUT:
                self._context.available(vehicle.id)
            case Id.MEDIA:
                await self._keep(vehicle, head, [decode_location(body[_MEDIA_HEAD_BYTES:])])
                await self._not_kept(whole)
                return
            case _:
                await self._not_kept(whole)
                return
        await self._answer(head, Result.OK, whole.serials)
        self.closing = head.msg_id == Id.LOGOUT

    async def _not_kept(self, whole: Whole) -> None:
        """Nothing here stores it: say so, or the terminal sends it for ever."""
        self._context.count("jt808.not_kept", 1)
        self._context.log.info("0x%04X is not kept", whole.header.msg_id)
        await self._answer(whole.header, Result.UNSUPPORTED, whole.serials)

    async def _keep(self, vehicle: Vehicle, head: Header, places: Sequence[Location]) -> None:
        """Returns once all of `places` are durable; what is already kept is not stored again."""
        now_ns, zone = self._context.clock.now_ns(), self._terms.zone
        keyed = {vehicle.key(place, head.serial): place for place in places}
        async with vehicle.keeping:
            fresh = {key: place for key, place in keyed.items() if not vehicle.told(key)}
            if len(fresh) < len(places):
                self._context.count("jt808.resent", len(places) - len(fresh))
            if fresh:
                made = [sample(vehicle.spec, place, now_ns, zone) for place in fresh.values()]
                await self._context.keep(made)
                for key in fresh:
                    vehicle.remember(key)
        self._context.available(vehicle.id)

    def _settle(self, whole: Whole) -> None:
        msg_id, body = whole.header.msg_id, whole.body
        if msg_id == Id.ATTRIBUTES:
            serial = 0
        elif msg_id == Id.TERMINAL_ACK:
            serial = decode_ack(body).serial
        elif len(body) < 2:
            raise CodecError(CodecReason.TRUNCATED, "an answer without the serial it answers")
        else:
            serial = int.from_bytes(body[:2], "big")
        waiting = self._waiting.get((msg_id, serial))
        if waiting is not None and not waiting.done():
            waiting.set_result(whole)
