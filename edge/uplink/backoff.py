"""When to try again. Full jitter, so that a thousand gateways do not come back together."""

from __future__ import annotations

import random

STABLE_S = 30.0


class Backoff:
    """Delays before each connection attempt; only a session that lasted `STABLE_S` starts them anew."""

    def __init__(self, first_s: float = 1.0, longest_s: float = 60.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._attempt = 0

    def next_delay_s(self, session_s: float = 0.0) -> float:
        """Seconds to wait now, after a session that lasted `session_s`."""
        if session_s >= STABLE_S:
            self._attempt = 0
        ceiling = min(self._longest_s, self._first_s * 2.0 ** min(self._attempt, 16))
        self._attempt += 1
        return random.uniform(0.0, ceiling)
