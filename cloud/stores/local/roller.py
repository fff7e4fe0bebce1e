"""The thread that rolls over now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tocsin.errors import StoreError

_log = logging.getLogger(__name__)


class Roller:
    """Calls `roll_over` every `interval_s`. A failure is logged once, and once more when it is over."""

    def __init__(self, roll_over: Callable[[], object], interval_s: float) -> None:
        self._roll_over, self._interval_s = roll_over, interval_s
        self._stopped = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="store-roll-over", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end and wait for the day it is moving."""
        self._stopped.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                self._roll_over()
            except StoreError as exc:
                if not self._failed:
                    _log.warning("%s; tried again every %g s", exc.message, self._interval_s)
                self._failed = True
            else:
                if self._failed:
                    _log.info("roll-over works again")
                self._failed = False
