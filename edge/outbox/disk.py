"""The one thread that touches the outbox file, and what its failures mean."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from edge.outbox.database import SUSPECT, refuses
from tocsin.errors import OutboxCorruptError, OutboxError, OutboxFullError

_P = ParamSpec("_P")
_T = TypeVar("_T")
DISK_PATIENCE_S = 60.0
_log = logging.getLogger("edge.outbox")


class Disk:
    """Runs work in its thread, one after the other. A damaged file is marked, so that the next start looks at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")

    async def call(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `work` returns. It is waited for as long as the disk takes: asked twice, it might be done twice.

        Raises:
            OutboxFullError: no room on the disk.
            OutboxCorruptError: the file is damaged.
            OutboxError: the disk refuses.
        """

        def run() -> _T:
            return work(*args, **kwargs)

        loop = asyncio.get_running_loop()
        doing = loop.run_in_executor(self.executor, run)
        late = loop.call_later(DISK_PATIENCE_S, self._late)
        try:
            return await asyncio.shield(doing)
        except sqlite3.ProgrammingError as exc:
            raise OutboxError(f"the outbox is closed: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            if refuses(exc):
                if exc.sqlite_errorname == "SQLITE_FULL":
                    raise OutboxFullError(
                        f"no room on the disk: {exc}", hint=f"free space under {self.directory}"
                    ) from exc
                raise OutboxError(f"the outbox cannot be written: {exc}") from exc
            with suppress(OSError):
                (self.directory / SUSPECT).touch()
            raise OutboxCorruptError(
                f"the outbox file is damaged: {exc}", hint="restart the agent; it salvages the file"
            ) from exc
        finally:
            late.cancel()

    def _late(self) -> None:
        _log.error("the disk of %s has not answered for a minute", self.directory)
