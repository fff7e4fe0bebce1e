"""Small files that must survive a power cut: replaced as a whole, and synced before anyone relies on them."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

DRAFT = ".new"
"""What a draft's name ends in, after that of its file; one that a power cut left is written over."""


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, atomically; returns when it is on the disk. Of several writers, threads or processes, one waits for the other.

    Raises:
        OSError: the disk refuses. No draft stays.
    """
    draft = path.with_name(path.name + DRAFT)
    with _locked(draft) as out:
        try:
            out.truncate()
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _locked(draft: Path) -> BinaryIO:
    """The draft, for this writer alone until it is closed."""
    while True:
        out = os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
        try:
            fcntl.flock(out, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(out.fileno()), draft.stat()):
                    return out  # else the one who had it put it in its place, or gave up
        except BaseException:
            out.close()
            raise
        out.close()
