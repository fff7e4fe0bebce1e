"""A TCP proxy that breaks a link in the ways real links break."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Literal, Self, TypeVar

_T = TypeVar("_T")
Mode = Literal["pass", "cut", "stall", "half-open", "slow"]
_SLOW_STEP_S = 0.1


class FaultProxy:
    """Loopback proxy to `host:port`, driven from any thread.

    `cut`: every connection is reset and new ones are refused at once. `stall`: connections stay, no byte moves, what is
    sent arrives after `resume`. `half_open`: as if the peer had lost power: connections look alive and swallow
    everything. `slow`: so many bytes per second and direction. `resume`: new connections pass; stalled and slow ones go
    on, cut and half-open ones stay dead.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._mode: Mode = "pass"
        self._bytes_per_s = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.accepted = 0
        self.bytes_up = 0
        self.bytes_down = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._call(self._set("cut"))

    def stall(self) -> None:
        """Hold every byte."""
        self._call(self._set("stall"))

    def half_open(self) -> None:
        """Swallow every byte, answer nothing, keep connections open."""
        self._call(self._set("half-open"))

    def slow(self, bytes_per_s: int) -> None:
        """Let every connection have so many bytes per second each way."""
        self._bytes_per_s = bytes_per_s
        self._call(self._set("slow"))

    def resume(self) -> None:
        """Let bytes and new connections pass."""
        self._call(self._set("pass"))

    def _call(self, work: Coroutine[object, object, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        for link in list(self._links):
            if mode == "cut":
                link.reset()
            elif mode == "stall":
                link.gate.clear()
            elif mode == "half-open":
                link.dead = True
                link.gate.set()
            else:
                link.gate.set()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.reset()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(writer)
        self._links.add(link)
        try:
            if self._mode == "cut":
                return
            link.dead = self._mode == "half-open"
            if self._mode == "stall":
                link.gate.clear()
            if link.dead:
                await self._pump(reader, None, link, up=True)
                return
            up_reader, up_writer = await asyncio.open_connection(*self._target)
            link.writers.append(up_writer)
            up = asyncio.create_task(self._pump(reader, up_writer, link, up=True))
            down = asyncio.create_task(self._pump(up_reader, writer, link, up=False))
            done, pending = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if link.dead:  # the far side is gone, the near side must not notice
                await asyncio.gather(*pending)
            for task in (*done, *pending):
                task.cancel()
        except OSError:
            pass
        finally:
            link.reset()
            self._links.discard(link)

    def _at_once(self) -> int:
        return 65536 if self._mode != "slow" else max(1, int(self._bytes_per_s * _SLOW_STEP_S))

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter | None,
        link: _Link,
        *,
        up: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self._at_once()):
                await link.gate.wait()
                if self._mode == "slow":
                    await asyncio.sleep(len(data) / self._bytes_per_s)
                if link.dead or writer is None:
                    continue
                if up:
                    self.bytes_up += len(data)
                else:
                    self.bytes_down += len(data)
                writer.write(data)
                await writer.drain()


class _Link:
    """One proxied connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]
        self.gate = asyncio.Event()
        self.gate.set()
        self.dead = False

    def reset(self) -> None:
        """Close both sides with RST, so that neither waits."""
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.gate.set()
