"""Work in a process of its own that dies by SIGKILL at a named step: what is left must be good enough."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

Step = Callable[[str], None]
_LIMIT_S = 60.0
# One server that has imported what is slow to import, and forks for each death.
server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(
    [
        "tests.cloud.stores.test_local_upkeep",
        "tests.cloud.backup.test_backup_files",
        "tests.edge.uplink.dying",
    ]
)


def dies_at(point: str, work: Callable[..., object], *args: Any) -> bool:
    """Whether `work(*args, step)` came to `point` and was killed there."""
    process = server.Process(target=_run, args=(point, work, args))
    process.start()
    process.join(_LIMIT_S)
    status = process.exitcode
    process.kill()
    process.join()
    process.close()
    return status == -signal.SIGKILL and status is not None


def _run(point: str, work: Callable[..., object], args: tuple[Any, ...]) -> None:
    def step(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    work(*args, step)
