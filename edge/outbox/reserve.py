"""A file that only takes up room, so that the outbox opens on a disk that others have filled: it is given up then."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 1 << 20
_FILE = "reserve"
_log = logging.getLogger("edge.outbox")


def hold(directory: Path) -> None:
    """Take the room while there is plenty; a reserve that was given up is taken again then."""
    path = directory / _FILE
    room = os.statvfs(directory)
    if path.exists() or room.f_bavail * room.f_frsize < 4 * RESERVE_BYTES:
        return
    with suppress(OSError), path.open("xb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)


def give_up(directory: Path) -> bool:
    """Free the room; whether there was any."""
    try:
        (directory / _FILE).unlink()
    except OSError:
        return False
    _log.error("the disk of %s is full: the outbox opens with the room it kept for this", directory)
    return True
