"""What is given up should the agent end while the disk refuses, kept in memory beside that disk.

Nothing on the disk could tell of it; the next agent does, once the disk takes it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.outbox.stand_in import note_of
from tocsin.contract.gaps import Gap
from tocsin.contract.ids import ulid

_MAX_BYTES = 1 << 20


class _Noted(msgspec.Struct, frozen=True):
    id: str
    gaps: list[Gap]


class ShedNote:
    """One small file in memory; where there is none, nothing is known and nothing fails.

    `id` is that of what it says now, `gaps` what an earlier agent left in it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = note_of(directory).with_suffix(".shed")
        found = self._read()
        self.id, self.gaps = (found.id, found.gaps) if found else ("", [])

    def write(self, gaps: Sequence[Gap], now_ns: int, note: str = "") -> None:
        """It says this now, whole or not at all; it is another note unless it is to stay the `note` that it was."""
        said, new = note or ulid(now_ns), self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with suppress(OSError):
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(msgspec.json.encode(_Noted(said, list(gaps))))
            new.replace(self._path)
            self.id = said

    def clear(self) -> None:
        """It is told."""
        if self.id:
            self.id = ""
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _read(self) -> _Noted | None:
        with suppress(OSError, msgspec.DecodeError):
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with os.fdopen(fd, "rb") as file:
                if os.fstat(fd).st_uid == os.geteuid():  # another's: not to be believed
                    return msgspec.json.decode(file.read(_MAX_BYTES), type=_Noted)
        return None
