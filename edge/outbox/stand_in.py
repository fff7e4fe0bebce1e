"""A place in memory for an outbox whose disk refuses at the start: a gateway that keeps nothing still sounds and sends."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from edge.options import OutboxOptions
from edge.outbox.database import FILE

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, whose owner is checked
MAX_BYTES = 64 << 20
_KEEP_COMMITTED_BYTES = 1 << 20
_ROOM_BYTES = 4 << 20
_DISK = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def is_needed(directory: Path, error: BaseException | None) -> bool:
    """Whether `error`, met while opening `directory`, is the disk's and no mistake of someone who may correct it."""
    if isinstance(error, OSError):
        return error.errno in _DISK
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return True
    return isinstance(error, sqlite3.Error) and not _has_room(directory)


def place(directory: Path) -> Path | None:
    """The folder in memory that stands in for `directory`, ours alone; None where there is no such memory.

    Raises:
        OSError: it cannot be made, or is another's.
    """
    if not MEMORY.is_dir():
        return None
    found = _place(directory)
    found.mkdir(mode=0o700, exist_ok=True)
    if found.is_symlink() or found.stat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(found))
    return found


def left(directory: Path) -> Path | None:
    """What an earlier run has left in memory while the disk of `directory` refused."""
    found = _place(directory)
    ours = found.is_dir() and not found.is_symlink() and found.stat().st_uid == os.geteuid()
    return found if ours and (found / FILE).is_file() else None


def remove(found: Path) -> None:
    """All of it is on the disk."""
    shutil.rmtree(found)


def smaller(options: OutboxOptions) -> OutboxOptions:
    """As `options`, but sparing with memory."""
    sizes = {
        "max_bytes": min(options.max_bytes, MAX_BYTES),
        "keep_committed_bytes": min(options.keep_committed_bytes, _KEEP_COMMITTED_BYTES),
    }
    return options.model_copy(update=sizes)


def disk_takes(directory: Path) -> bool:
    """Whether the disk of `directory` can be written again."""
    probe = directory / "probe"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _has_room(directory):
            return False
        with probe.open("wb") as file:
            file.write(bytes(65536))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


def _has_room(directory: Path) -> bool:
    found = os.statvfs(next(p for p in (directory, *directory.parents) if p.exists()))
    read_only = found.f_flag & os.ST_RDONLY
    return not read_only and found.f_bavail * found.f_frsize >= _ROOM_BYTES


def note_of(directory: Path) -> Path:
    """Where a note of the outbox in `directory` lies in memory."""
    return _place(directory).with_suffix(".numbers")


def _place(directory: Path) -> Path:
    name = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:16]
    return MEMORY / f"tocsin-{os.geteuid()}-{name}"
