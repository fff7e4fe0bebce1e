"""A data directory has one owner."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cloud.backup.unfinished import refuse_unfinished
from tocsin.errors import FolderError, StoreError


def other_owner(path: Path) -> str:
    """What to do when `path` belongs to somebody else; "" when it does not, or is not there."""
    try:
        owner, mine = path.stat().st_uid, os.geteuid()
    except OSError:
        return ""
    if owner == mine:
        return ""
    return f"{path} belongs to {_user(owner)}, and this is {_user(mine)}: run it as {_user(owner)}"


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


@contextlib.contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Make it and hold it.

    Raises:
        FolderError: it cannot be made.
        StoreError: another process of the cloud holds it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        refuse_unfinished(data_dir)
        file: IO[bytes] = (data_dir / "cloud.lock").open("wb")
    except OSError as exc:
        raise FolderError(
            f"the data directory {data_dir} cannot be made or written: {exc.strerror}",
            hint=other_owner(data_dir)
            or "set cloud.data_dir in cloud.toml to a folder that can be written",
        ) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise StoreError(
                f"another `tocsin cloud run` owns {data_dir}",
                hint="stop it, or give this one a data_dir of its own",
            ) from exc
        yield
