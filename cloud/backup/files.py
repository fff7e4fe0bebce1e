"""Copying files so that they are on disk and their digest is known."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

_PIECE = 1 << 20


def copy_hashed(source: Path, target: Path) -> str:
    """Copy bytes and modification time (mode 0600), fsync; the SHA-256 of what was read."""
    digest = hashlib.sha256()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        source.open("rb") as reader,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer,
    ):
        while piece := reader.read(_PIECE):
            digest.update(piece)
            writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())
        stat = os.fstat(reader.fileno())
    os.utime(target, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    return digest.hexdigest()


def hashed(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def linked(source: Path, target: Path) -> bool:
    """Whether `target` could be made another name of `source`: they lie on one file system that knows links."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True


def sync_folders(top: Path) -> None:
    """Have every folder below `top`, and `top`, on disk."""
    for folder in (*(path for path in top.rglob("*") if path.is_dir()), top):
        handle = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # a share that cannot is a share that need not
                os.fsync(handle)
        finally:
            os.close(handle)
