"""What an analyst sees meanwhile: the newest message that a query finds, over and over, in a thread of its own."""

from __future__ import annotations

import threading
import time

from tocsin.lab.chaos import site
from tocsin.lab.children import LabError
from tocsin.lab.client import ConsoleClient

LOOK_S = 0.5
_NEWEST = f"SELECT max(n) AS n FROM {site.PUSHED_AS} WHERE device = '{site.PUSHED[0]}'"
_COUNT = f"SELECT count(*) AS n FROM {site.PUSHED_AS}"


class Watch:
    """`seen`: (unix ns, newest message) whenever a query was answered."""

    def __init__(self, client: ConsoleClient) -> None:
        self.seen: list[tuple[int, int]] = []
        self._client = client
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        newest = ask(self._client, _NEWEST)
        if newest is not None:
            self.seen.append((time.time_ns(), newest))

    def stop(self) -> None:
        """A last question, and no more."""
        self._stopped.set()
        self._thread.join(15.0)
        self._look()

    def back_at(self, ended_ns: int, published_ns: list[int]) -> int | None:
        """When something that was published after `ended_ns` was found for the first time."""
        for at_ns, n in self.seen:
            if at_ns > ended_ns and n < len(published_ns) and published_ns[n] >= ended_ns:
                return at_ns
        return None


def ask(client: ConsoleClient, sql: str) -> int | None:
    """The single number that a query answers; None while nobody answers, or nothing is stored."""
    try:
        value = client.query(sql, 5.0)[0]["n"]
    except (LabError, LookupError):
        return None
    return None if value is None else int(value)


def stored_messages(client: ConsoleClient) -> int | None:
    """How many messages a query finds."""
    return ask(client, _COUNT)
