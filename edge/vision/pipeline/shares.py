"""Who is looked at next when not all can be, and how much of a core looking may take. Pure: times come in."""

from __future__ import annotations

from collections.abc import Iterable

from edge.vision.pipeline.pace import Attention

WEIGHTS = {Attention.IDLE: 1.0, Attention.GATED: 3.0, Attention.OPEN: 10.0}


class Shares:
    """Each camera pays for the time its frames took, dearer the less is going on before it; the cheapest is next.

    So cameras in the same state get the same time whatever their sizes, one with an open track is served before many without, and
    nobody waits for ever (stride scheduling).
    """

    def __init__(self) -> None:
        self._paid: dict[str, float] = {}
        self._level = 0.0  # of the last one served: who was away does not come back with credit

    def next(self, ready: Iterable[str]) -> str | None:
        """Of these cameras."""
        chosen = min(ready, key=lambda c: (max(self._paid.get(c, 0.0), self._level), self._paid.get(c, 0.0)), default=None)  # fmt: skip
        if chosen is not None:
            self._level = max(self._level, self._paid.get(chosen, 0.0))
        return chosen

    def pay(self, camera: str, work_s: float, attention: Attention) -> None:
        """For a frame that took `work_s`."""
        start = max(self._paid.get(camera, 0.0), self._level)
        self._paid[camera] = start + work_s / WEIGHTS[attention]

    def leave(self, camera: str) -> None:
        """A camera is gone."""
        self._paid.pop(camera, None)


class Budget:
    """Seconds of work that one core's worker may do: `share` a second, saved up to a quarter of a second."""

    def __init__(self, share: float, now_ns: int) -> None:
        self._share, self._most_s = share, max(0.25 * share, 0.01)
        self._left_s, self._at_ns = self._most_s, now_ns

    def wait_s(self, now_ns: int) -> float:
        """How long until there is some."""
        self._refill(now_ns)
        return 0.0 if self._left_s > 0 or self._share >= 1 else -self._left_s / self._share + 1e-3

    def spend(self, work_s: float, now_ns: int) -> None:
        """A frame took so long; it may take more than there is, what follows waits."""
        self._refill(now_ns)
        self._left_s -= work_s

    def _refill(self, now_ns: int) -> None:
        self._left_s = min(self._most_s, self._left_s + (now_ns - self._at_ns) / 1e9 * self._share)
        self._at_ns = now_ns
