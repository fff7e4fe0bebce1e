"""One line with one owner: asks one meter at a time, and names every way in which an answer can fail to come."""

from __future__ import annotations

import asyncio

from edge.drivers.dlt645.config import ANY, Dlt645Config, MeterConfig
from edge.ports import Duplex, open_port
from firmware_bridges.dlt645.frames import ERRORS, ERRORS_1997, Frame, Function, encode_frame
from firmware_bridges.dlt645.splitter import Splitter
from tocsin.errors import (
    CodecError,
    DeviceFaultError,
    DriverError,
    DriverReason,
    FrameError,
    LinkError,
)
from tocsin.sdk import DriverContext

_MOST_PARTS = 32
NO_SUCH_DATA = 0x02  # bit 1 of the error byte, in both editions


class Line:
    """The port of one driver. Requests go one at a time; the caller is the only user."""

    def __init__(self, config: Dlt645Config, context: DriverContext) -> None:
        self._config, self._context = config, context
        self._link: Duplex | None = None
        self._splitter = Splitter()

    async def open(self) -> None:
        """Opens the port.

        Raises:
            LinkError: with the reason and, where there is one, what to do.
        """
        config = self._config
        self._link = await open_port(
            config.port,
            config.baudrate,
            config.connect or "",
            config.connect_timeout_s,
            config.parity,
        )

    def close(self) -> None:
        """Frees the port at once."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def read(self, meter: MeterConfig, di: bytes, patience_s: float) -> bytes:
        """The data of one identifier, in the order of the line, put together from as many frames as the meter needs.

        Raises:
            DeviceFaultError: it refused; `number` is its error byte, with the bit `NO_SUCH_DATA` for data it does not have.
            FrameError: something came, and no frame that answers.
            LinkError: no answer, or the port is gone.
        """
        old = len(di) == 2
        first, next_ = (
            (Function.READ_1997, Function.READ_MORE_1997)
            if old
            else (Function.READ, Function.READ_MORE)
        )
        answer = await self._ask(meter, first, di, b"", patience_s)
        whole, number = answer.data[len(di) :], 0
        while answer.more:
            number += 1
            if number > _MOST_PARTS:
                raise FrameError(
                    DriverReason.GARBAGE, f"more than {_MOST_PARTS} frames for one read"
                )
            tail = b"" if old else bytes((number,))
            answer = await self._ask(meter, next_, di, tail, patience_s)
            part = answer.data[len(di) :]
            whole += part if old else part[:-1]
        return whole

    async def _ask(
        self, meter: MeterConfig, function: Function, di: bytes, tail: bytes, patience_s: float
    ) -> Frame:
        link = self._link
        if link is None:
            raise LinkError(DriverReason.CLOSED, f"{self._config.where} is not open")
        await asyncio.sleep(self._config.pause_s)
        request = Frame(meter.address, function, di[::-1] + tail, self._config.preamble)
        data = encode_frame(request)
        self._context.frame(meter.id, "tx", data)
        await link.write(data)
        heard = _Heard(request, di)
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    for item in self._splitter.feed(await link.read()):
                        if isinstance(item, Frame):
                            self._context.frame(meter.id, "rx", encode_frame(item))
                        if heard.is_answer(item):
                            assert isinstance(item, Frame)  # noqa: S101 - said just now
                            self._count(heard)
                            return _accepted(item)
        except TimeoutError:
            heard.left += self._splitter.clear()
            self._count(heard)
            raise heard.verdict() from None

    def _count(self, heard: _Heard) -> None:
        for name, n in (("dlt645.late", heard.others), ("dlt645.broken", heard.broken)):
            if n:
                self._context.count(name, n)


class _Heard:
    """What came since a request: its answer, another meter's or an older request's, half frames, nothing."""

    def __init__(self, request: Frame, di: bytes) -> None:
        self._request, self._di = request, di[::-1]
        self.others = self.broken = self.left = 0
        self._why = ""

    def is_answer(self, item: Frame | CodecError) -> bool:
        """Whether it is; counts it otherwise. Our own request heard again (an adapter's echo) is nothing."""
        if isinstance(item, CodecError):
            self.broken += 1
            self._why = item.message
            return False
        asked = self._request
        if not item.from_slave:
            return False
        mine = asked.address in (ANY, item.address) and item.function == asked.function
        if mine and (item.refused or item.data.startswith(self._di)):
            return True
        self.others += 1
        return False

    def verdict(self) -> DriverError:
        """Why there is no answer."""
        if self.broken:
            return FrameError(DriverReason.GARBAGE, f"a broken frame: {self._why}")
        if self.others:
            hint = "raise timeout_s above the longest answer"
            return FrameError(
                DriverReason.LATE_ANSWER, "only an answer to another request", hint=hint
            )
        if self.left:
            hint = "compare baudrate and parity with the meter's"
            return FrameError(
                DriverReason.HALF_FRAME, f"{self.left} bytes, no whole frame", hint=hint
            )
        hint = "address as printed on the meter? A and B swapped? baudrate, parity?"
        return LinkError(DriverReason.NO_ANSWER, "no answer", hint=hint)


def _accepted(answer: Frame) -> Frame:
    if not answer.refused:
        return answer
    word = answer.data[0] if answer.data else 0
    names = ERRORS_1997 if answer.function < Function.SET_TIME else ERRORS
    told = [names.get(bit, f"bit{bit}") for bit in range(8) if word >> bit & 1]
    raise DeviceFaultError(
        DriverReason.EXCEPTION_CODE,
        f"refused with {word:02X} ({', '.join(told) or 'no reason'})",
        number=word,
    )
