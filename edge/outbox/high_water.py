"""How far the numbers of an outbox were given out, kept in memory beside its disk.

A disk may lose what was written to it last without a power cut: its file system turned read-only after an error and was
mounted anew. Nothing in the file tells of it, and numbers that were sent would be given out again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edge.outbox.stand_in import note_of

_BYTES = 512


class HighWater:
    """One small file in memory; where there is none, nothing is known and nothing fails."""

    def __init__(self, directory: Path) -> None:
        self._path, self._fd, self._last = note_of(directory), -1, b""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with suppress(OSError):
            self._fd = os.open(self._path, flags, 0o600)
            if os.fstat(self._fd).st_uid != os.geteuid():  # another's: not to be believed
                os.close(self._fd)
                self._fd = -1

    def beyond(self, power_on: str, next_seq: Mapping[str, int]) -> set[str]:
        """Which of these streams (name: its next number) were further in the same power-on."""
        if self._fd < 0 or not power_on:
            return set()
        text = os.pread(self._fd, _BYTES, 0).decode("ascii", "replace").split()
        if not text or text[0] != power_on:
            return set()
        told = dict(zip(text[1::2], text[2::2], strict=False))
        return {
            name
            for name, at in next_seq.items()
            if (was := told.get(name, "")).isdigit() and int(was) > at
        }

    def note(self, power_on: str, next_seq: Mapping[str, int]) -> None:
        """These numbers are committed, and may be sent from now on."""
        if self._fd < 0 or not power_on:
            return
        words = [power_on, *(word for name, at in next_seq.items() for word in (name, str(at)))]
        text = " ".join(words).encode("ascii", "replace").ljust(_BYTES)
        if text != self._last:
            with suppress(OSError):
                os.pwrite(self._fd, text, 0)
            self._last = text

    def close(self, *, forget: bool) -> None:
        """`forget` it when everything is in the outbox's file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if forget:
                with suppress(OSError):
                    self._path.unlink()
