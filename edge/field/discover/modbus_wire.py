"""One Modbus request at a time to any unit, at any setting: what a search needs of a line. It reads, and never writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from edge.ports import Duplex, Parity, SerialLink, TcpLink
from firmware_bridges.modbus.crc import crc16
from firmware_bridges.modbus.frames import (
    MAX_RTU,
    RtuFrame,
    TcpFrame,
    decode_tcp,
    encode_rtu,
    encode_tcp,
    tcp_size,
)
from firmware_bridges.modbus.pdu import answer_size
from tocsin.errors import FrameError

_BITS_PER_CHAR = 11
_SILENCE_CHARS = 3.5


class Setting(msgspec.Struct, frozen=True):
    """How a serial line is read; `baudrate` 0 on a network."""

    baudrate: int = 0
    parity: Parity = "N"

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.baudrate} baud, parity {self.parity}" if self.baudrate else "network"


class Wire:
    """An open line. `noise` counts bytes that belonged to no answer."""

    def __init__(self, link: Duplex, setting: Setting, *, rtu: bool, timeout_s: float) -> None:
        self._link, self._setting, self._rtu = link, setting, rtu
        self._timeout_s = timeout_s
        self._transaction = 0
        self.noise = 0

    @classmethod
    async def open(cls, target: str, setting: Setting, *, rtu: bool, timeout_s: float) -> Wire:
        """A serial port, or host:port.

        Raises:
            LinkError: it cannot be opened.
        """
        link: Duplex
        if setting.baudrate:
            link = SerialLink(target, setting.baudrate, setting.parity)
        else:
            link = await TcpLink.open(target, max(timeout_s, 3.0))
        return cls(link, setting, rtu=rtu, timeout_s=timeout_s)

    async def ask(self, unit: int, pdu: bytes) -> bytes | None:
        """The answer's PDU, or None when there is none in time.

        Raises:
            LinkError: the line is gone.
        """
        self._transaction = self._transaction % 0xFFFF + 1
        if self._rtu:
            await self._rest(_SILENCE_CHARS)
            request = encode_rtu(RtuFrame(unit, pdu))
        else:
            request = encode_tcp(TcpFrame(self._transaction, unit, pdu))
        await self._link.write(request)
        patience_s = self._timeout_s + self._time_s(len(request) + MAX_RTU // 8)
        heard = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while True:
                    heard += await self._link.read()
                    answer = self._find(heard, request, unit, pdu[0])
                    if answer is not None:
                        return answer
                    heard = heard[-2 * MAX_RTU :]
        self.noise += len(heard.removeprefix(request))
        return None

    async def ask_twice(self, unit: int, pdu: bytes) -> bytes | None:
        """As `ask`; on a serial line, where bytes get lost, once more if there is no answer.

        Raises:
            LinkError: the line is gone.
        """
        answer = await self.ask(unit, pdu)
        return await self.ask(unit, pdu) if answer is None and self._rtu else answer

    def _find(self, heard: bytes, request: bytes, unit: int, function: int) -> bytes | None:
        return (
            _find_rtu(heard.removeprefix(request), unit, function)
            if self._rtu
            else self._find_tcp(heard, unit, function)
        )

    def _find_tcp(self, heard: bytes, unit: int, function: int) -> bytes | None:
        while True:
            try:
                size = tcp_size(heard)
                if size is None or len(heard) < size:
                    return None
                frame = decode_tcp(heard[:size])
            except FrameError:
                return None
            mine = frame.transaction == self._transaction and frame.unit == unit
            if mine and frame.pdu[0] & 0x7F == function:
                return frame.pdu
            heard = heard[size:]

    async def _rest(self, characters: float) -> None:
        await asyncio.sleep(max(0.00175, self._time_s(characters)))

    def _time_s(self, characters: float) -> float:
        rate = self._setting.baudrate
        return characters * _BITS_PER_CHAR / rate if rate else 0.0

    def close(self) -> None:
        """Free the port."""
        self._link.close()


def _find_rtu(heard: bytes, unit: int, function: int) -> bytes | None:
    """A frame of this unit that answers this function, its checksum right, wherever it stands."""
    for head in (bytes((unit, function)), bytes((unit, function | 0x80))):
        start = heard.find(head)
        while start >= 0:
            for end in _ends(heard, start):
                if end <= len(heard) and crc16(heard[start:end]) == 0:
                    return heard[start + 1 : end - 2]
            start = heard.find(head, start + 1)
    return None


def _ends(heard: bytes, start: int) -> Sequence[int]:
    """Where the frame may end: of 65,536 beginnings of one, one has a right checksum by chance."""
    size = answer_size(heard[start + 1 : start + 3])
    if size is None:
        return ()
    if size:
        return (start + 1 + size + 2,)
    return range(min(len(heard), start + MAX_RTU), start + 4, -1)
