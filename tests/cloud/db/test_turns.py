"""Writers of one process take turns."""

from __future__ import annotations

import threading
from functools import partial

from cloud.db import Turns
from tocsin.testing import wait_until_sync


def test_who_waits_comes_before_who_takes_it_again() -> None:
    turns, order = Turns(), list[str]()

    def waits(name: str) -> None:
        with turns:
            order.append(name)

    def waiting(n: int) -> bool:
        return len(turns._waiting) == n

    threads = [threading.Thread(target=waits, args=(name,)) for name in ("first", "second")]
    with turns:
        for n, thread in enumerate(threads, 1):
            thread.start()
            wait_until_sync(partial(waiting, n), 30.0, "it waits")
    for _ in range(3):
        with turns:
            order.append("again")
    for thread in threads:
        thread.join()
    assert order == ["first", "second", "again", "again", "again"]
