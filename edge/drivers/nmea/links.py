"""The three ways to a receiver's bytes: serial port, TCP connection, recorded file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.drivers.nmea.config import NmeaConfig
from edge.ports import Link, cannot_open, open_port

_CHUNK = 4096


class FileLink:
    """A recorded log."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
        except OSError as exc:
            raise cannot_open(str(path), exc) from exc

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
    if config.file is not None:
        return FileLink(config.file)
    return await open_port(
        config.port, config.baudrate, config.connect or "", config.connect_timeout_s
    )
