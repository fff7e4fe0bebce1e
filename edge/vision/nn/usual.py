"""How hot each place of one camera's picture is while nothing burns. What is no hotter than usual there does not count."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.packed import Packed
from edge.vision.opencv import cv2

Odds = NDArray[np.float32]
"""(classes, rows, columns), log-odds of a heat map."""

LEAST_FRAMES = 6  # of fewer nothing is usual yet
_MOST_FRAMES = 20_000  # older ones count less and less
_APART_NS, _LAG_NS = 10_000_000_000, 600_000_000_000
_LAG_FRAMES, _FIRST_LAG_FRAMES = 12, 5
_SPREADS = 3.0
_HOTTEST = (
    4.0  # no place is usually hotter than 0.98: a fire there is told whatever came and went before
)
_MOST_WAITING = 128
_COUNTS_FROM = -1.0  # usual heat below it (0.27) takes nothing away
_AROUND = np.ones((3, 3), np.uint8)


class Usual:
    """Of one camera and one version of a model. It learns a frame only once later ones followed it without an alarm."""

    def __init__(self, apart_s: float = 0.0) -> None:
        """Frames nearer together than `apart_s`, or 10 s once something is known, count once."""
        self._apart_ns = int(apart_s * 1e9)
        self._waiting: deque[tuple[int, NDArray[np.float16]]] = deque(maxlen=_MOST_WAITING)
        self._last_ns: int | None = None
        self._frames, self._mean, self._square = 0, _NONE, _NONE
        self._limit: Odds | None = None

    @property
    def known(self) -> bool:
        """Whether enough was seen to say what is usual."""
        return self._frames >= LEAST_FRAMES

    def limit(self) -> Odds | None:
        """What counts as usual heat at each place and beside it; None: not known yet."""
        if self._limit is None and self.known:
            self._limit = limit_of(self._mean, self._square)
        return self._limit

    def saw(self, odds: Odds, ts_ns: int) -> None:
        """A frame without an alarm."""
        if self._mean.shape != odds.shape:
            self.clear()
            self._mean = self._square = np.zeros_like(odds)
        apart_ns = max(_APART_NS, self._apart_ns) if self.known else self._apart_ns
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < apart_ns:
            return
        if self._last_ns is not None and ts_ns < self._last_ns:
            self._waiting.clear()  # the clock was set back: these would wait until it catches up
        self._last_ns = ts_ns
        self._waiting.append((ts_ns, odds.astype(np.float16)))
        while self._waiting and self._is_due(ts_ns):
            self._learn(self._waiting.popleft()[1].astype(np.float32))

    def _is_due(self, now_ns: int) -> bool:
        later = len(self._waiting) - 1
        if self._frames < LEAST_FRAMES:
            return later >= _FIRST_LAG_FRAMES
        return later >= _LAG_FRAMES and now_ns - self._waiting[0][0] >= _LAG_NS

    def _learn(self, odds: Odds) -> None:
        self._frames += 1
        share = np.float32(1 / min(self._frames, _MOST_FRAMES))
        self._mean = self._mean + share * (odds - self._mean)
        self._square = self._square + share * (odds * odds - self._square)
        self._limit = None

    def drop(self) -> None:
        """An alarm: what was seen shortly before may belong to it."""
        self._waiting.clear()

    def clear(self) -> None:
        """The camera looks elsewhere, or another model looks."""
        self._waiting.clear()
        self._frames, self._mean, self._square, self._limit = 0, _NONE, _NONE, None
        self._last_ns = None

    def packed(self, model: str) -> Packed | None:
        """What must survive a restart, if there is anything."""
        frames, mean, square = self._frames, self._mean, self._square
        if mean.ndim != 3 or not frames:
            return None
        shape = (mean.shape[0], mean.shape[1], mean.shape[2])
        halves = (a.astype(np.float16).tobytes() for a in (mean, square))
        return Packed(model, frames, shape, *halves)

    def unpack(self, packed: Packed) -> None:
        """Goes on from there; what does not fit its own shape is left aside."""
        mean, square = (
            np.frombuffer(data, np.float16).astype(np.float32)
            for data in (packed.mean, packed.square)
        )
        if mean.size == square.size == int(np.prod(packed.shape)):
            self._mean, self._square = mean.reshape(packed.shape), square.reshape(packed.shape)
            self._frames, self._limit = packed.frames, None


_NONE: Odds = np.zeros(0, np.float32)


def limit_of(mean: Odds, square: Odds) -> Odds:
    """Three spreads above the mean, and as hot as the hottest neighbour."""
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    high = np.minimum(mean + np.float32(_SPREADS) * spread, np.float32(_HOTTEST))
    return np.stack([np.asarray(cv2.dilate(one, _AROUND), np.float32) for one in high])


def _limit(total: Odds, squares: Odds, count: int) -> Odds:
    share = np.float32(1 / count)
    return limit_of(np.asarray(total * share, np.float32), np.asarray(squares * share, np.float32))


class Recorded:
    """What is usual by recorded quiet frames; each is added once."""

    def __init__(self) -> None:
        self._frames, self._sum, self._squares = 0, _NONE, _NONE
        self._whole: Odds | None = None

    def add(self, odds: Odds) -> bool:
        """False: it has another size than those before."""
        if not self._frames:
            self._sum = self._squares = np.zeros_like(odds)
        if odds.shape != self._sum.shape:
            return False
        self._frames += 1
        self._sum, self._squares, self._whole = self._sum + odds, self._squares + odds * odds, None
        return True

    def limit(self, without: Odds | None = None) -> Odds | None:
        """Of all, or of all but one of them; None: too few."""
        count = self._frames - (without is not None)
        if count < LEAST_FRAMES:
            return None
        if without is not None:
            return _limit((self._sum - without), self._squares - without * without, count)  # fmt: skip
        if self._whole is None:
            self._whole = _limit(self._sum, self._squares, count)
        return self._whole


def log_odds(heat: NDArray[np.float32]) -> Odds:
    """Of 0..1, kept within +-9."""
    p = np.clip(heat, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)), np.float32)


def above(heat: NDArray[np.float32], odds: Odds, limit: Odds) -> NDArray[np.float32]:
    """Heat 0..1 of what exceeds the usual; `odds` are those of `heat`."""
    usual = limit - np.float32(_COUNTS_FROM)
    left = 0.5 * (1 + np.tanh(0.5 * (odds - usual)))
    return np.where(usual > 0, left, heat).astype(np.float32)
