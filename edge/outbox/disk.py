"""The one thread that touches the outbox file, and what its failures mean."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from tocsin.errors import OutboxCorruptError, OutboxError, OutboxFullError

_P = ParamSpec("_P")
_T = TypeVar("_T")
DISK_TIMEOUT_S = 60.0


class Disk:
    """Runs work in its thread, one after the other. A damaged file is marked, so that the next start looks at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")

    async def call(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `work` returns.

        Raises:
            OutboxFullError: no room on the disk.
            OutboxCorruptError: the file is damaged.
            OutboxError: the disk refuses or does not answer.
        """

        def run() -> _T:
            return work(*args, **kwargs)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DISK_TIMEOUT_S):
                return await asyncio.shield(loop.run_in_executor(self.executor, run))
        except TimeoutError:
            raise OutboxError(f"the disk did not answer for {DISK_TIMEOUT_S:g} s") from None
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorname == "SQLITE_FULL":
                raise OutboxFullError(
                    f"no room on the disk: {exc}", hint=f"free space under {self.directory}"
                ) from exc
            raise OutboxError(f"the outbox cannot be written: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            (self.directory / "outbox.suspect").touch()
            raise OutboxCorruptError(
                f"the outbox file is damaged: {exc}", hint="restart the agent; it salvages the file"
            ) from exc
