"""Files of the folder: keys readable by their owner only, nothing overwritten unless it is replaced on purpose."""

from __future__ import annotations

import os
from pathlib import Path

from tocsin.errors import ProvisionError, ProvisionReason

PRIVATE, PUBLIC = 0o600, 0o644


def make_folder(path: Path) -> None:
    """A new folder for its owner only; one that is there must be empty.

    Raises:
        ProvisionError: it holds something already, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = next(path.iterdir(), None)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    if taken is not None:
        raise ProvisionError(
            ProvisionReason.EXISTS,
            f"{path} is not empty: {taken.name} is there",
            hint="nothing is overwritten: name another folder, or use renew or revoke",
        )


def replace(path: Path, content: bytes, *, private: bool) -> None:
    """Write whole or not at all.

    Raises:
        ProvisionError: the folder cannot be written.
    """
    draft = path.with_name(path.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        opened = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE if private else PUBLIC
        )
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _unwritable(path: Path, exc: OSError) -> ProvisionError:
    return ProvisionError(
        ProvisionReason.UNWRITABLE, f"{path}: {exc.strerror}", hint="name a folder you may write"
    )
