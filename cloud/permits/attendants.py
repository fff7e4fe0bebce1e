"""Signs of attendants, shared with their gateways: whoever is nearer judges a silence, and each knows what the other saw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from cloud.permits.kept import Kept
from tocsin.contract.messages import AttendantSigns
from tocsin.permits.intervals import ATTENDANT, NS, seconds
from tocsin.permits.signs import seen_ns

PATIENCE_NS = 10 * 60 * NS  # with a gateway that keeps the permit and is not heard
CUT_NS = (
    15 * NS
)  # a gateway speaks every 5 s: not heard for so long, it has seen signs that are not known here
FIRST_NS = (
    15 * NS
)  # so long after the rule's time the gateway, which is nearer, may be the one that suspends
Heard = Callable[[str], int]
Told = Callable[[str], AttendantSigns | None]


class Attendants:
    """`heard`: when a gateway was last heard, Unix ns, 0 for never. `told`: the signs in what it said then; None: it shares none."""

    def __init__(self, heard: Heard, told: Told, began_ns: int) -> None:
        self._heard, self._told, self._began_ns = heard, told, began_ns
        self._lock = threading.Lock()
        self._signs: dict[str, int] = {}
        self._answered: dict[str, int] = {}  # by gateway: `at_ns` of what was answered last

    def sign(self, permit: str, at_ns: int) -> None:
        """One at our own pages."""
        with self._lock:
            self._signs[permit] = max(at_ns, self._signs.get(permit, 0))

    def forget(self, permit: str) -> None:
        """The permit has ended."""
        with self._lock:
            self._signs.pop(permit, None)

    def newest_ns(self, kept: Kept, now_ns: int) -> int:
        """The newest sign, here or at the gateway's page. One that shares none watches alone: it being heard counts."""
        with self._lock:
            here_ns = self._signs.get(kept.id, 0)
        if not kept.told:
            return here_ns
        told = self._told(kept.gateway)
        if told is None:
            return max(here_ns, self._heard(kept.gateway))
        return max(here_ns, seen_ns(told, 1, now_ns).get(kept.id, 0))

    def is_for_gateway(self, kept: Kept, now_ns: int) -> bool:
        """Whether a silence is the gateway's to judge: it keeps the permit and knows more, or hears of it first."""
        if not kept.told:
            return False
        heard_ns = self._heard(kept.gateway)
        if abs(now_ns - heard_ns) > CUT_NS:
            return now_ns - max(heard_ns, self._began_ns) < PATIENCE_NS
        limit_s, _ = seconds(kept.basis.rules, ATTENDANT)
        newest_ns = max(self.newest_ns(kept, now_ns), self._began_ns)
        return now_ns - newest_ns < limit_s * NS + FIRST_NS

    def owes(self, gateway: str) -> bool:
        """Whether the gateway's newest word on signs is not answered yet."""
        told = self._told(gateway)
        return told is not None and self._answered.get(gateway) != told.at_ns

    def answer(self, gateway: str, permits: Iterable[str], now_ns: int) -> AttendantSigns | None:
        """Those seen here, for the gateway; None where it shares none."""
        told = self._told(gateway)
        if told is None:
            return None
        held_s = max(0, now_ns - self._heard(gateway)) / NS
        self._answered[gateway] = told.at_ns
        with self._lock:
            ages_s = {p: (now_ns - self._signs[p]) / NS for p in permits if p in self._signs}
        return AttendantSigns(now_ns, told.at_ns, held_s, ages_s)
