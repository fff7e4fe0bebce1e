"""How every virtual device begins and ends: one line when it is ready, then until SIGTERM or until its lease ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


async def serve_until_told(
    work: Coroutine[Any, Any, None], ready: dict[str, Any], *, stdin_lease: bool
) -> None:
    """Print `ready` as one JSON line, and run `work` until SIGTERM, SIGINT or, with a lease, the end of standard input."""
    sys.stdout.write(json.dumps({"ready": True} | ready) + "\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(work, name="device")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    if stdin_lease:
        stdin = sys.stdin.fileno()
        loop.add_reader(stdin, lambda: os.read(stdin, 4096) or running.cancel())
    with suppress(asyncio.CancelledError):
        await running
