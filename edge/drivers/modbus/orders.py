"""Commands on their way to a line: they wait for the line's one owner, who carries them out before its next read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from edge.drivers.modbus.config import ModbusConfig
from edge.drivers.modbus.link import ModbusLink
from edge.drivers.modbus.plan import Block
from edge.drivers.modbus.station import Station
from firmware_bridges.modbus.orders import COIL_FUNCTIONS, Write
from firmware_bridges.modbus.pdu import ExceptionCode, WriteRequest
from tocsin.errors import (
    CommandRefusal,
    CommandRefusedError,
    DeviceFaultError,
    DriverError,
    DriverReason,
    LinkError,
    TocsinError,
)
from tocsin.sdk import Clock

MAX_WAITING = 16
NS = 1_000_000_000
_NOT_ANSWERED = {
    ExceptionCode.ACKNOWLEDGE: "the device has taken it and is still at work",
    ExceptionCode.GATEWAY_TARGET: "the device behind the Modbus gateway did not answer",
}


class _Order:
    def __init__(self, station: Station, name: str, write: Write, deadline_ns: int) -> None:
        self.station, self.name, self.write = station, name, write
        self.deadline_ns = deadline_ns
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def end(self, error: TocsinError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Orders:
    """The commands of one line. `carry_out` is called by the line's owner alone, between two requests."""

    def __init__(self, config: ModbusConfig, link: ModbusLink, clock: Clock) -> None:
        self._config, self._link, self._clock = config, link, clock
        self._waiting: deque[_Order] = deque()
        self._arrived = asyncio.Event()
        self.open = False

    async def put(
        self, station: Station, name: str, args: Mapping[str, Any], within_s: float
    ) -> dict[str, Any]:
        """Wait for the owner, and for what the device answers.

        Raises:
            UsageError: no such command, or wrong arguments.
            CommandRefusedError: the queue is full, or its turn did not come in time.
            DriverError: see `tocsin.sdk.TakesCommands`.
        """
        write = station.write_of(name, args)
        if not self.open:
            text = f"{self._config.address} is not open"
            raise LinkError(DriverReason.CLOSED, text, device=station.spec.id)
        if len(self._waiting) >= MAX_WAITING:
            text = f"{MAX_WAITING} commands wait for {self._config.address} already"
            raise CommandRefusedError(CommandRefusal.REFUSED, text, hint="send it again later")
        deadline_ns = self._clock.mono_ns() + int(within_s * NS)
        order = _Order(station, name, write, deadline_ns)
        self._waiting.append(order)
        self._arrived.set()
        return await order.answer

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than until a command comes or the devices are others."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            pass

    async def carry_out(self) -> None:
        """All that wait now, oldest first; those that come meanwhile wait for the next time, so that reads go on.

        Raises:
            LinkError: the port is gone.
        """
        self._arrived.clear()
        for _ in range(len(self._waiting)):
            order = self._waiting.popleft()
            if order.answer.done():  # whoever asked has gone
                continue
            if self._clock.mono_ns() >= order.deadline_ns:
                text = "its time ran out while it waited for the line"
                order.end(CommandRefusedError(CommandRefusal.EXPIRED, text))
                continue
            await self._one(order)

    def keep(self, stations: Collection[Station]) -> None:
        """Only these devices are on the line from now on: what waits for another, or a changed one, is not sent."""
        for order in [o for o in self._waiting if o.station not in stations]:
            self._waiting.remove(order)
            text = "the device was taken away or changed before its turn"
            order.end(LinkError(DriverReason.CLOSED, text, device=order.station.spec.id))
        self._arrived.set()

    def close(self) -> None:
        """The owner has gone: nothing more is sent."""
        self.open = False
        while self._waiting:
            order = self._waiting.popleft()
            text = f"{self._config.address} was closed before its turn"
            order.end(LinkError(DriverReason.CLOSED, text, device=order.station.spec.id))

    async def _one(self, order: _Order) -> None:
        name = order.station.spec.id
        try:
            answer = await self._tried(order)
        except asyncio.CancelledError:
            text = "the agent stopped before it answered"
            order.end(LinkError(DriverReason.NO_ANSWER, text, device=name))
            raise
        except DriverError as exc:
            order.station.unsure = not isinstance(exc, DeviceFaultError)
            order.end(type(exc)(exc.reason, exc.message, device=name, hint=exc.hint))
            if not self._link.connected:
                raise LinkError(DriverReason.CLOSED, exc.message, hint=exc.hint) from exc
        else:
            if not order.answer.done():
                order.answer.set_result(answer)

    async def _tried(self, order: _Order) -> dict[str, Any]:
        """One write, with its retries where twice is no more than once, and its read-back."""
        tries = 1 + (self._config.retries if order.write.idempotent else 0)
        await self._in_step(order.station)
        while True:
            try:
                await self._sent(order)
                break
            except DriverError as exc:
                tries -= 1
                late = self._clock.mono_ns() >= order.deadline_ns
                known = isinstance(exc, DeviceFaultError)
                if tries == 0 or late or known or not self._link.connected:
                    raise
        request = order.write.request
        told: dict[str, Any] = {"written": list(request.values), "address": request.address}
        if order.write.verify:
            await self._verify(order)
            told["verified"] = True
        return told

    async def _in_step(self, station: Station) -> None:
        """Without transaction numbers: no answer to an earlier request, and no echo, may pass for this one's."""
        if self._config.has_transactions or (self._link.echo_known and not station.unsure):
            return
        try:
            await self._link.read(
                station.spec.id, station.device.unit_id, station.sync, station.timeout_s
            )
        except DeviceFaultError:  # it refuses the odd read: so it is there, and in step
            pass
        except DriverError as exc:
            text = f"the device does not answer, so it was not sent: {exc.message}"
            raise LinkError(DriverReason.CLOSED, text) from exc
        station.unsure = False

    async def _sent(self, order: _Order) -> None:
        station = order.station
        try:
            await self._link.write(
                station.spec.id, station.device.unit_id, order.write.request, station.timeout_s
            )
        except DeviceFaultError as exc:
            told = {int(code): text for code, text in _NOT_ANSWERED.items()}.get(exc.number or 0)
            if told is not None:
                raise LinkError(DriverReason.NO_ANSWER, told) from exc
            raise

    async def _verify(self, order: _Order) -> None:
        station, request = order.station, order.write.request
        function = 1 if request.function in COIL_FUNCTIONS else 3
        block = Block(function, request.address, len(request.values))
        try:
            body = await self._link.read(
                station.spec.id, station.device.unit_id, block, station.timeout_s
            )
        except DriverError as exc:
            text = f"the device confirmed it, but it cannot be read back: {exc.message}"
            raise LinkError(DriverReason.NO_ANSWER, text) from exc
        held = _values(request, body)
        if held != request.values:
            text = f"the device confirmed {_shown(request.values)}, but holds {_shown(held)}"
            raise DeviceFaultError(DriverReason.EXCEPTION_CODE, text)


def _values(request: WriteRequest, body: bytes) -> tuple[int, ...]:
    count = len(request.values)
    if request.function in COIL_FUNCTIONS:
        return tuple(body[i // 8] >> i % 8 & 1 for i in range(count))
    return tuple(int.from_bytes(body[2 * i : 2 * i + 2], "big") for i in range(count))


def _shown(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))
