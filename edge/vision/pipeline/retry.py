"""When a camera that failed is tried again. Jitter keeps cameras behind one switch apart."""

from __future__ import annotations

import random

from tocsin.errors import DriverReason

_AT_ONCE_S = (0.3, 0.6)  # a camera that comes back shall be seen within 3 s: opening takes the rest
_LONGEST_S = {DriverReason.PERMISSION: 30.0, DriverReason.BAD_FILE: 5.0}  # accounts get locked


class Retry:
    """Soon while a camera is merely away; 1, 2, 4 ... s, up to 5 or 30, while it answers that it will not have us."""

    def __init__(self) -> None:
        self._refusals = 0

    def next_delay_s(self, reason: DriverReason) -> float:
        """Seconds to wait after a failure."""
        longest_s = _LONGEST_S.get(reason)
        if longest_s is None:
            self._refusals = 0
            return random.uniform(*_AT_ONCE_S)
        self._refusals += 1
        return min(longest_s, 2.0 ** min(self._refusals - 1, 10)) * random.uniform(0.75, 1.25)
