"""A copy of the alarm states beside the outbox, which has them with its alarms: for when the outbox refuses or is
damaged, and for an earlier version, which reads nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.durable import write_durably
from edge.pipeline import AlarmBoard
from tocsin.contract.drafts import AlarmDraft

_log = logging.getLogger("edge.alarms")


class Saved(msgspec.Struct, frozen=True, omit_defaults=True):
    """All open states, and transitions the outbox may not have yet. `n` 0: an earlier version wrote it."""

    states: msgspec.Raw
    owed: list[AlarmDraft] = []
    n: int = 0


class AlarmFile:
    """One JSON file, replaced atomically and synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(
            1, "alarm-file"
        )  # one, so that a later state is written later

    def read(self) -> Saved | None:
        """What was saved last; None when there is none. A file that cannot be read is put aside."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Saved)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as exc:
            self.put_aside(exc)
            return None

    def put_aside(self, error: Exception) -> None:
        """It makes no sense: alarms that are still true are raised anew."""
        aside = self._path.with_suffix(".unreadable")
        _log.error("%s cannot be read (%s); kept as %s", self._path, error, aside.name)
        with suppress(OSError):
            self._path.replace(aside)

    async def save(self, board: AlarmBoard, owed: list[AlarmDraft], n: int) -> None:
        """Make the board's states of this moment durable, in a thread: an alarm on its way waits for no disk.

        Raises:
            OSError: the disk refuses.
        """
        data = msgspec.json.encode(Saved(msgspec.Raw(board.dump()), owed, n))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, write_durably, self._path, data)
