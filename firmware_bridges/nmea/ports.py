"""The virtual receiver's two kinds of port: a pseudo-terminal and a TCP listener. Both say whether anyone listens."""

from __future__ import annotations

import os
import select
import socket
import tty
from contextlib import suppress
from pathlib import Path
from typing import Protocol


class Port(Protocol):
    """Where sentences leave."""

    name: str

    def listeners(self) -> int:
        """How many readers have the port open now."""
        ...

    def send(self, data: bytes) -> bool:
        """Whether at least one reader's queue took all of `data`."""
        ...

    def close(self) -> None: ...


class PseudoTerminal:
    """A serial port without hardware; `link` is a stable name for it, as /dev/serial/by-id is."""

    def __init__(self, link: Path | None) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._link = link
        if link is not None:
            link.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                link.unlink()
            link.symlink_to(path)
        self.name = str(link or path)

    def listeners(self) -> int:
        poll = select.poll()
        poll.register(self._master, select.POLLOUT)
        return 0 if any(event & select.POLLHUP for _, event in poll.poll(0)) else 1

    def send(self, data: bytes) -> bool:
        try:
            return os.write(self._master, data) == len(data)
        except (BlockingIOError, OSError):
            return False

    def close(self) -> None:
        os.close(self._master)
        if self._link is not None:
            with suppress(FileNotFoundError):
                self._link.unlink()


class TcpListener:
    """A serial device server: every client gets every sentence; a client that does not read is dropped."""

    def __init__(self, host: str, port: int) -> None:
        self._server = socket.create_server((host, port))
        self._server.setblocking(False)
        self._clients: list[socket.socket] = []
        self.name = f"{host}:{self._server.getsockname()[1]}"

    def listeners(self) -> int:
        with suppress(BlockingIOError):
            while True:
                client, _ = self._server.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(client)
        for client in list(self._clients):
            try:
                if client.recv(256) == b"":
                    self._drop(client)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(client)
        return len(self._clients)

    def send(self, data: bytes) -> bool:
        taken = 0
        for client in list(self._clients):
            try:
                if client.send(data) == len(data):
                    taken += 1
                else:
                    self._drop(client)
            except OSError:
                self._drop(client)
        return taken > 0

    def _drop(self, client: socket.socket) -> None:
        self._clients.remove(client)
        client.close()

    def close(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._server.close()
