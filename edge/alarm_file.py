"""Alarm states on disk, so that an alarm that is open at a kill -9 is the same alarm after the restart."""

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
    """States, and transitions the outbox may not have yet: written before it, cleared after."""

    states: msgspec.Raw
    owed: list[AlarmDraft] = []


class AlarmFile:
    """One JSON file, replaced atomically and synced: alarms are rare, losing one is not an option."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(
            1, "alarm-file"
        )  # one, so that a later state is written later

    def restore(self, board: AlarmBoard) -> list[AlarmDraft]:
        """Give the board its states; the transitions still owed to the outbox.

        A file that cannot be read is put aside: alarms that are still true are raised anew.
        """
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=Saved)
            board.restore(bytes(saved.states))
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as exc:
            aside = self._path.with_suffix(".unreadable")
            _log.error("%s cannot be read (%s); kept as %s", self._path, exc, aside.name)
            with suppress(OSError):
                self._path.replace(aside)
            return []
        return saved.owed

    async def save(self, board: AlarmBoard, owed: list[AlarmDraft]) -> None:
        """Make the board's states of this moment durable, in a thread: an alarm on its way waits for no disk.

        Raises:
            OSError: the disk refuses.
        """
        data = msgspec.json.encode(Saved(msgspec.Raw(board.dump()), owed))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, write_durably, self._path, data)
