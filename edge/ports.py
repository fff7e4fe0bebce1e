"""The two ways to a device that sends when it likes: a serial port and a TCP connection. Both read and write bytes.

Overflow while the pipeline is full: the kernel's buffer of the line.
"""

from __future__ import annotations

import asyncio
import errno
import os
import termios
from typing import Literal, Protocol

import serial

from edge.adapters import find_adapter
from tocsin.errors import DriverReason, LinkError

Parity = Literal["N", "E", "O"]
# Reasons for which a whole port is lost, not one of the devices on it.
PORT_REASONS = frozenset(
    {DriverReason.CLOSED, DriverReason.NO_PORT, DriverReason.REFUSED, DriverReason.PERMISSION}
)
_CHUNK = 4096
_WRITE_TIMEOUT_S = 5.0


class Link(Protocol):
    """An open source of bytes."""

    async def read(self) -> bytes:
        """The next bytes; b"" when the source has ended.

        Raises:
            LinkError: it broke.
        """
        ...

    def close(self) -> None: ...


class Duplex(Link, Protocol):
    """A link that can also be written to."""

    async def write(self, data: bytes) -> None:
        """Returns when the kernel has all of `data`.

        Raises:
            LinkError: it broke, or took nothing for 5 s.
        """
        ...


class SerialLink:
    """A serial port, read by the event loop itself; locked against a second reader.

    Raises:
        LinkError: it cannot be opened.
    """

    def __init__(self, port: str, baudrate: int, parity: Parity = "N") -> None:
        try:
            self._serial = serial.Serial(
                find_adapter(port), baudrate, parity=parity, timeout=0, exclusive=True
            )
        except (serial.SerialException, OSError, ValueError, termios.error) as exc:
            raise cannot_open(port, exc) from exc
        self._port = port
        self._fd: int = self._serial.fileno()

    async def read(self) -> bytes:
        await self._readable()
        try:
            data = os.read(self._fd, _CHUNK)
        except OSError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._port}: {exc.strerror}") from exc
        if not data:  # VMIN is 0: readable and yet empty is a hang-up (termios(3))
            raise LinkError(
                DriverReason.CLOSED,
                f"{self._port}: the device is gone",
                hint="is it unplugged, or without power?",
            )
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the kernel has all of `data`."""
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                while data:
                    await self._writable()
                    data = data[os.write(self._fd, data) :]
        except TimeoutError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._port}: takes no bytes") from exc
        except OSError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._port}: {exc.strerror}") from exc

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._fd)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)

    def close(self) -> None:
        self._serial.close()


class TcpLink:
    """A client of a serial device server or of a receiver with a network port."""

    def __init__(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._name, self._reader, self._writer = name, reader, writer

    @classmethod
    async def open(cls, connect: str, timeout_s: float) -> TcpLink:
        host, _, port = connect.rpartition(":")
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(host, int(port), limit=_CHUNK)
        except TimeoutError as exc:
            raise LinkError(
                DriverReason.NO_ANSWER, f"{connect}: no answer within {timeout_s:g} s"
            ) from exc
        except (OSError, OverflowError) as exc:
            raise cannot_open(connect, exc) from exc
        return cls(connect, reader, writer)

    async def read(self) -> bytes:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._name}: {exc}") from exc
        if not data:
            raise LinkError(DriverReason.CLOSED, f"{self._name}: the other side closed")
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the kernel has all of `data`."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await self._writer.drain()
        except TimeoutError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._name}: takes no bytes") from exc
        except OSError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._name}: {exc}") from exc

    def close(self) -> None:
        self._writer.close()


def cannot_open(name: str, exc: Exception) -> LinkError:
    """Why a port cannot be opened, and what to do."""
    number = getattr(exc, "errno", None)
    if number == errno.ENOENT:
        return LinkError(
            DriverReason.NO_PORT,
            f"{name}: not there",
            hint="is it plugged in? ls /dev/serial/by-id",
        )
    if number in (errno.EACCES, errno.EPERM):
        return LinkError(
            DriverReason.PERMISSION,
            f"{name}: permission denied",
            hint="add the agent's user to the group dialout",
        )
    if number in (errno.EAGAIN, errno.EBUSY):
        return LinkError(
            DriverReason.REFUSED, f"{name}: in use", hint="another program has the port open"
        )
    if isinstance(exc, termios.error):
        text = f"{name}: does not take this baud rate or parity"
        return LinkError(DriverReason.REFUSED, text, hint="what does the adapter's maker say?")
    return LinkError(DriverReason.REFUSED, f"{name}: {exc}")


async def open_port(
    port: str | None, baudrate: int, connect: str, timeout_s: float, parity: Parity = "N"
) -> Duplex:
    """The serial port if one is named, else a connection to host:port, open.

    Raises:
        LinkError: it cannot be opened.
    """
    if port is not None:
        return SerialLink(port, baudrate, parity)
    return await TcpLink.open(connect, timeout_s)
