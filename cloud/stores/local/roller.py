"""The thread that looks after the store now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tocsin.errors import StoreError

_TRIES, _TRY_S = 300, 0.2
_log = logging.getLogger(__name__)


class Roller:
    """Calls `look_after(go_on)` every `interval_s`; `go_on` says no when so much time is up again, or at the end.

    A failure is logged once, and once more when it is over.
    """

    def __init__(
        self, look_after: Callable[[Callable[[], bool]], object], interval_s: float
    ) -> None:
        self._look_after, self._interval_s = look_after, interval_s
        self._stopped = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="store-roll-over", daemon=True)
        self._thread.start()

    def stop(self, interrupt: Callable[[], None]) -> None:
        """Ask the thread to end; `interrupt` stops the statement it is at, whose work is done again another time."""
        self._stopped.set()
        for _ in range(_TRIES):
            interrupt()
            self._thread.join(timeout=_TRY_S)
            if not self._thread.is_alive():
                return

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                until = time.monotonic() + max(self._interval_s, 1.0)
                self._look_after(
                    lambda until=until: not self._stopped.is_set() and time.monotonic() < until  # type: ignore[misc]
                )
            except StoreError as exc:
                if self._stopped.is_set():  # interrupted
                    return
                if not self._failed:
                    _log.warning("%s; tried again every %g s", exc.message, self._interval_s)
                self._failed = True
            else:
                if self._failed:
                    _log.info("the store is looked after again")
                self._failed = False
