"""The two ports a virtual device can have: a pseudo-terminal and a TCP listener."""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import suppress
from pathlib import Path

from firmware_bridges.modbus.frames import (
    RtuFrame,
    RtuRequests,
    TcpFrame,
    TcpRequests,
    encode_rtu,
    encode_tcp,
)
from firmware_bridges.modbus.line import Line, Piece
from tocsin.errors import FrameError

SILENCE_S = 0.1


class SerialPort:
    """An RS-485 line: the master side of a raw pseudo-terminal. Clients open `path`."""

    def __init__(self, line: Line, link: Path | None = None) -> None:
        self._line = line
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._link = link
        self._requests = RtuRequests()
        self._silence: asyncio.TimerHandle | None = None
        if link is not None:
            fresh = link.with_name(link.name + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self.path)
            fresh.replace(link)

    @property
    def address(self) -> str:
        """What a client opens."""
        return str(self._link) if self._link is not None else self.path

    async def serve(self) -> None:
        """Answers until cancelled."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[bytes] = asyncio.Queue(64)

        def read() -> None:
            with suppress(BlockingIOError, asyncio.QueueFull):
                heard.put_nowait(os.read(self._master, 1024))

        loop.add_reader(self._master, read)
        try:
            async with asyncio.TaskGroup() as late:
                while True:
                    await self._hear(heard, late)
        finally:
            loop.remove_reader(self._master)
            self.close()

    async def _hear(self, heard: asyncio.Queue[bytes], late: asyncio.TaskGroup) -> None:
        try:
            data = await asyncio.wait_for(heard.get(), SILENCE_S)
        except TimeoutError:
            self._requests.silence()
            return
        for frame in self._requests.feed(data):
            pieces = self._line.respond(
                frame.unit,
                frame.pdu,
                encode_rtu(frame),
                lambda unit, pdu: encode_rtu(RtuFrame(unit, pdu)),
            )
            if any(piece.wait_s > 0.1 for piece in pieces):
                late.create_task(self._write(pieces), name="late answer")
            else:
                await self._write(pieces)

    async def _write(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if piece.wait_s:
                await asyncio.sleep(piece.wait_s)
            with suppress(BlockingIOError):  # nobody reads: a serial line loses the bytes too
                os.write(self._master, piece.data)

    def close(self) -> None:
        """Hangs up: clients read end of file or an I/O error."""
        for fd in (self._master, self._slave):
            with suppress(OSError):
                os.close(fd)
        if self._link is not None:
            with suppress(OSError):
                if self._link.readlink() == Path(self.path):
                    self._link.unlink()


class TcpPort:
    """Modbus/TCP for any number of clients."""

    def __init__(self, line: Line, host: str, port: int) -> None:
        self._line = line
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """What a client connects to."""
        return f"{self._host}:{self._port}"

    async def listen(self) -> asyncio.Server:
        """Binds; port 0 becomes a free one."""
        self._server = await asyncio.start_server(self._client, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self._server

    async def serve(self) -> None:
        """Answers until cancelled."""
        server = self._server or await self.listen()
        async with server:
            await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = TcpRequests()
        try:
            while data := await reader.read(4096):
                for frame in requests.feed(data):
                    await self._answer(frame, writer)
        except (FrameError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, frame: TcpFrame, writer: asyncio.StreamWriter) -> None:
        pieces = self._line.respond(
            frame.unit,
            frame.pdu,
            encode_tcp(frame),
            lambda unit, pdu: encode_tcp(TcpFrame(frame.transaction, unit, pdu)),
        )
        for piece in pieces:
            if piece.wait_s:
                await asyncio.sleep(piece.wait_s)
            writer.write(piece.data)
            await writer.drain()
