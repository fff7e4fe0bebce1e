"""A file that is written under another name beside its place, and takes it once it is whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tocsin.errors import FolderError, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MOST = 1000  # drafts that stopped runs left behind


def refuse_source(out: Path, source: Path, option: str) -> None:
    """Links count as what they lead to.

    Raises:
        UsageError: `out` is the file that is read.
        FolderError: `out` is a folder.
    """
    try:
        folder, same = out.is_dir(), out.exists() and out.samefile(source)
    except OSError as exc:
        raise _refused(out, exc, option) from exc
    if folder:
        raise FolderError(f"{out} is a folder", hint=f"the name of a file for {option}")
    if same:
        raise UsageError(
            f"{option} {out} is the very file that is read, {source}", hint=f"another name for {option}"
        )  # fmt: skip


def refuse_unwritable(out: Path, option: str) -> None:
    """Before the work is done, not after.

    Raises:
        FolderError: nothing can be written there.
    """
    folder = out.resolve().parent
    if not folder.is_dir():
        raise FolderError(f"{out}: no folder {folder}", hint=f"another path for {option}")
    if not os.access(out if out.exists() else folder, os.W_OK):
        raise FolderError(f"{out} cannot be written", hint=f"another path for {option}")


class Draft:
    """`path` is written; `keep` moves it to its place, where an older file stays untouched until then."""

    def __init__(self, out: Path, option: str) -> None:
        """Raises:
        FolderError: nothing can be written there.
        """
        self._option = option
        self.out = out.resolve()  # a link stays one
        self.path = self._made()

    def _made(self) -> Path:
        for count in range(1, _MOST):
            number = "" if count == 1 else str(count)
            path = self.out.with_name(f"{self.out.stem}.part{number}{self.out.suffix}")
            try:
                path.open("xb").close()
            except FileExistsError:
                continue
            except OSError as exc:
                raise _refused(self.out, exc, self._option) from exc
            return path
        raise FolderError(f"{self.out.parent} is full of drafts", hint="remove the *.part* files")

    def fill(self, data: bytes) -> None:
        """All of it.

        Raises:
            FolderError: the disk refuses.
        """
        try:
            self.path.write_bytes(data)
        except OSError as exc:
            self.path.unlink(missing_ok=True)
            raise _refused(self.out, exc, self._option) from exc

    def keep(self) -> None:
        """It is whole.

        Raises:
            FolderError: its place cannot be taken.
        """
        try:
            self.path.replace(self.out)
        except OSError as exc:
            refused = _refused(self.out, exc, self._option)
            refused.hint = f"it is in {self.path}"
            raise refused from exc

    def drop(self) -> None:
        """Nothing in it is worth keeping."""
        self.path.unlink(missing_ok=True)


def _refused(out: Path, exc: OSError, option: str) -> FolderError:
    why = exc.strerror or exc
    hint = f"another path for {option}"
    if exc.errno in FULL:
        hint = f"make room there, or {hint}"
    return FolderError(f"{out} cannot be written: {why}", hint=hint)
