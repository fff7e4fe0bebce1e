"""Messages of a log that had the process to themselves when it died: after a few deaths one is put aside as what ends it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from cloud.link import Received

DEADLY = 5  # deaths; fewer may be chance: a process is also killed by others


class _Kept(msgspec.Struct):
    """What lies in the file. `alone`: it is being worked on."""

    deaths: dict[str, int] = {}
    alone: str = ""


class Suspects:
    """Kept in a file that outlives the process (no power cut: that was not the message's doing). None keeps nothing.

    A delivery alone says little: whoever starts anew, however often, is handed everything again that it had in hand.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._kept = path, _Kept()
        if path is not None:
            with suppress(OSError, msgspec.MsgspecError):
                self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        if died := self._kept.alone:
            self._kept.deaths[died] = self._kept.deaths.get(died, 0) + 1
            self._kept.alone = ""

    def deaths(self, message: Received) -> int:
        """How many processes died of it, as it seems."""
        return self._kept.deaths.get(_name(message), 0)

    def begin(self, message: Received) -> None:
        """From here on a death is its doing."""
        self._kept.alone = _name(message)
        self._save()

    def end(self, message: Received) -> None:
        """The process lives."""
        self._kept.alone = ""
        self._kept.deaths.pop(_name(message), None)
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        with suppress(OSError):  # then it is not put aside yet
            new = self._path.with_suffix(".new")
            new.write_bytes(msgspec.json.encode(self._kept))
            new.replace(self._path)


def _name(message: Received) -> str:
    return hashlib.sha256(message.topic.encode() + b"\0" + message.payload).hexdigest()[:32]
