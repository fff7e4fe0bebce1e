"""The three ways to a receiver's bytes. Overflow while the pipeline is full: the kernel's buffer of the line."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Protocol

import serial

from edge.drivers.nmea.config import NmeaConfig
from tocsin.errors import DriverReason, LinkError

_CHUNK = 4096


class Link(Protocol):
    """An open source of bytes."""

    async def read(self) -> bytes:
        """The next bytes; b"" when the source has ended.

        Raises:
            LinkError: it broke.
        """
        ...

    def close(self) -> None: ...


class SerialLink:
    """A serial port, read by the event loop itself; locked against a second reader."""

    def __init__(self, port: str, baudrate: int) -> None:
        try:
            self._serial = serial.Serial(port, baudrate, timeout=0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as exc:
            raise _cannot_open(port, exc) from exc
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
            raise _cannot_open(connect, exc) from exc
        return cls(connect, reader, writer)

    async def read(self) -> bytes:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as exc:
            raise LinkError(DriverReason.CLOSED, f"{self._name}: {exc}") from exc
        if not data:
            raise LinkError(DriverReason.CLOSED, f"{self._name}: the other side closed")
        return data

    def close(self) -> None:
        self._writer.close()


class FileLink:
    """A recorded log."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as exc:
            raise _cannot_open(str(path), exc) from exc

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self._file.read(_CHUNK)

    def close(self) -> None:
        self._file.close()


async def open_link(config: NmeaConfig) -> Link:
    """The configured source, open.

    Raises:
        LinkError: it cannot be opened.
    """
    if config.port is not None:
        return SerialLink(config.port, config.baudrate)
    if config.connect is not None:
        return await TcpLink.open(config.connect, config.connect_timeout_s)
    return FileLink(config.file or Path())


def _cannot_open(name: str, exc: Exception) -> LinkError:
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
    return LinkError(DriverReason.REFUSED, f"{name}: {exc}")
