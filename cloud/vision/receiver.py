"""Parts of pictures on their way from the ingest thread to the disk: a thread of its own, so that no reading waits."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable

from tocsin.contract.evidence import EvidencePart
from tocsin.errors import TocsinError

MAX_WAITING = 256  # parts of at most 64 KiB
IDLE_S = 0.5
_log = logging.getLogger("cloud.vision")


class PartReceiver:
    """`put` never waits: when there is no room a part is let go of and counted, and the cloud asks for it again."""

    def __init__(self, take: Callable[[EvidencePart], None]) -> None:
        self._take = take
        self._queue: queue.Queue[EvidencePart] = queue.Queue(MAX_WAITING)
        self._stop = threading.Event()
        self._failed = ""
        self.counts: Counter[str] = Counter()

    def put(self, part: EvidencePart) -> None:
        """From any thread."""
        try:
            self._queue.put_nowait(part)
        except queue.Full:
            self.counts["parts_let_go"] += 1

    def stop(self) -> None:
        """End; what waits is asked for again after the next start."""
        self._stop.set()

    def run(self) -> None:
        """The thread."""
        while not self._stop.is_set():
            try:
                part = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                continue
            try:
                self._take(part)
            except (TocsinError, OSError) as exc:
                self.counts["parts_let_go"] += 1
                why = exc.message if isinstance(exc, TocsinError) else str(exc)
                if not self._failed:
                    _log.warning("pictures cannot be kept: %s", why)
                self._failed = why
            else:
                if self._failed:
                    _log.warning("pictures are kept again")
                self._failed = ""
