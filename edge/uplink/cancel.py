"""A cancellation that something on the way has swallowed."""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """End this task if it was told to end.

    `asyncio.wait_for` of Python 3.11 (in every call of aiomqtt) forgets a cancellation that comes together with the
    answer, a task group one that comes together with a failure.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
