"""How long a gateway that has just started may go without a value: once, however often it starts again."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from edge.durable import write_durably
from tocsin.sdk import Clock

FILE = "started"  # while the time after a start runs: Unix ns of the first start of a row of them
_log = logging.getLogger("edge.permits")


class Grace:
    """`used_s`: seconds that earlier starts, which all ended before their time was over, have used up."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path, now_ns = folder / FILE, clock.now_ns()
        self.used_s = 0.0
        try:
            first_ns = int(self._path.read_text("ascii"))
        except FileNotFoundError:
            first_ns = 0
        except (OSError, ValueError) as exc:
            _log.error("%s cannot be read: %s", self._path, exc)
            first_ns = 0
        if 0 < first_ns <= now_ns:
            self.used_s = (now_ns - first_ns) / 1e9
            return
        try:
            write_durably(self._path, str(now_ns).encode())
        except OSError as exc:
            _log.error("%s cannot be written: %s", self._path, exc)

    def over(self) -> None:
        """The time is over, and everything was heard or has stopped the work: the next start has it anew."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
