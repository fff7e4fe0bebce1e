"""How often a camera is looked at. Pure: the monotonic time comes in as nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_NS = 1_000_000_000


class Attention(StrEnum):
    """What the looking at a camera found worth looking at again."""

    IDLE = "idle"  # nothing
    GATED = "gated"  # something changes slowly
    OPEN = "open"  # something is being followed


@dataclass(frozen=True, slots=True)
class Rates:
    """Frames a second in each state; a state stays for `hold_s` after it was last found."""

    idle_fps: float = 0.5
    gated_fps: float = 1.0
    open_fps: float = 5.0
    hold_s: float = 30.0

    def of(self, attention: Attention) -> float:
        """Frames a second."""
        match attention:
            case Attention.IDLE:
                return self.idle_fps
            case Attention.GATED:
                return self.gated_fps
            case Attention.OPEN:
                return self.open_fps


_RANK = {Attention.IDLE: 0, Attention.GATED: 1, Attention.OPEN: 2}


class Pace:
    """One camera's. A frame that comes late does not delay those after it; time that was missed is not made up for."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._found, self._found_ns = Attention.IDLE, 0
        self._due_ns = 0

    def attention(self, now_ns: int) -> Attention:
        """The state that holds now."""
        held = now_ns - self._found_ns <= self._rates.hold_s * _NS
        return self._found if held else Attention.IDLE

    def found(self, attention: Attention, now_ns: int) -> None:
        """What a look found; a lower state waits until the higher one is over."""
        if _RANK[attention] >= _RANK[self.attention(now_ns)]:
            before = self.attention(now_ns)
            self._found, self._found_ns = attention, now_ns
            if attention is not before:
                self._due_ns = min(self._due_ns, now_ns + self._period_ns(attention))

    def due(self, now_ns: int) -> bool:
        """Whether a frame of this moment shall be looked at."""
        return now_ns >= self._due_ns

    def taken(self, now_ns: int) -> None:
        """One was."""
        period_ns = self._period_ns(self.attention(now_ns))
        self._due_ns = max(self._due_ns, now_ns - period_ns) + period_ns

    def _period_ns(self, attention: Attention) -> int:
        return round(_NS / self._rates.of(attention))
