"""Waiting for conditions, never for time."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import Awaitable, Callable

_STEP_S = 0.02


async def wait_until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]],
    timeout_s: float = 30.0,
    what: str = "",
) -> None:
    """Return once `condition()` (awaited if it is a coroutine) is true.

    Raises:
        TimeoutError: it was still false after `timeout_s`, a hang guard and no measurement.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        met = condition()
        if inspect.isawaitable(met):
            met = await met
        if met:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what or condition}")
        await asyncio.sleep(_STEP_S)


def wait_until_sync(
    condition: Callable[[], object], timeout_s: float = 30.0, what: str = ""
) -> None:
    """`wait_until` for code without an event loop.

    Raises:
        TimeoutError: it was still false after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what or condition}")
        time.sleep(_STEP_S)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago; bind port 0 yourself where you can."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
