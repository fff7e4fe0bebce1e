"""How hot each place of one camera's picture is while nothing burns. What is no hotter than usual there does not count."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.odds import Cells, Odds, half, limit_of, whole
from edge.vision.nn.packed import Packed
from edge.vision.nn.rejected import Rejected

LEAST_FRAMES = 6  # of fewer nothing is usual yet
_MOST_FRAMES = 20_000  # older ones count less and less
_APART_NS, _LAG_NS = 10_000_000_000, 600_000_000_000
_LAG_FRAMES, _FIRST_LAG_FRAMES = 12, 5
_MOST_WAITING = 128
_DAY_NS = 86_400_000_000_000
_RISES_A_DAY = np.float32(0.5)  # log-odds: what burns slowly for hours must not become usual
_NONE: Odds = np.zeros(0, np.float32)


class Tally:
    """Mean and mean square of heat maps, older ones counting less and less."""

    def __init__(self) -> None:
        self.frames, self.mean, self.square = 0, _NONE, _NONE

    def add(self, odds: Odds) -> None:
        """One more; of another size than those before it is the first."""
        if self.mean.shape != odds.shape:
            self.frames, self.mean, self.square = 0, np.zeros_like(odds), np.zeros_like(odds)
        self.frames += 1
        share = np.float32(1 / min(self.frames, _MOST_FRAMES))
        # Never in place: another thread may be writing down what was there.
        self.mean = self.mean + share * (odds - self.mean)
        self.square = self.square + share * (odds * odds - self.square)

    def limit(self) -> Odds:
        """What counts as usual by them."""
        return limit_of(self.mean, self.square)


class Usual:
    """Of one camera and one version of a model. It learns a frame only once later ones followed it without an alarm.

    Its first frames are believed at once, for there is nothing else, and only until as many were learned as all others are.
    """

    def __init__(self, apart_s: float = 0.0) -> None:
        """Frames nearer together than `apart_s`, or 10 s once something is known, count once."""
        self._apart_ns = int(apart_s * 1e9)
        self._waiting: deque[tuple[int, NDArray[np.float16]]] = deque(maxlen=_MOST_WAITING)
        self._last_ns: int | None = None
        self._first, self._learned = Tally(), Tally()
        self._lid, self._lid_ns = _NONE, 0  # what was usual when the last day began; 0: never yet
        self._rejected = Rejected()
        self._limit: Odds | None = None

    @property
    def known(self) -> bool:
        """Whether enough was seen to say what is usual."""
        return max(self._learned.frames, self._first.frames) >= LEAST_FRAMES

    def limit(self) -> Odds | None:
        """What counts as usual heat at each place and beside it; None: not known yet."""
        if self._limit is None:
            lasting = self._learned.frames >= LEAST_FRAMES
            first = self._first.limit() if self.known and not lasting else None
            self._limit = self._rejected.over(self._by_frames() if lasting else first)
        return self._limit

    def _by_frames(self) -> Odds:
        """After the first day, no place is hotter than it was a day ago by more than so much."""
        limit = self._learned.limit()
        if self._lid.shape == limit.shape:
            return np.asarray(np.minimum(limit, self._lid + _RISES_A_DAY), np.float32)
        return limit

    def saw(self, odds: Odds, ts_ns: int) -> None:
        """A frame without an alarm."""
        self._rejected.ended()
        if self._rejected.faded(ts_ns):
            self._limit = None
        if any(shape != odds.shape for shape in self._shapes()):
            self.clear()
        apart_ns = max(_APART_NS, self._apart_ns) if self.known else self._apart_ns
        if self._last_ns is not None and 0 <= ts_ns - self._last_ns < apart_ns:
            return
        if self._last_ns is not None and ts_ns < self._last_ns:
            self._waiting.clear()  # the clock was set back: these would wait until it catches up
        self._last_ns = ts_ns
        self._waiting.append((ts_ns, odds.astype(np.float16)))
        if not self.known and len(self._waiting) > _FIRST_LAG_FRAMES:
            self._learn(self._first, self._waiting[-1 - _FIRST_LAG_FRAMES][1])
        while len(self._waiting) > _LAG_FRAMES and ts_ns - self._waiting[0][0] >= _LAG_NS:
            self._learn(self._learned, self._waiting.popleft()[1])
            self._dawns(ts_ns)

    def _dawns(self, ts_ns: int) -> None:
        """After a frame was learned: what is usual when a day begins holds the next one down."""
        if (
            ts_ns - self._lid_ns >= _DAY_NS
            and self._lid_ns
            and self._learned.frames >= LEAST_FRAMES
        ):
            self._lid, self._lid_ns = self._by_frames(), ts_ns
        elif (
            self._lid_ns == 0 or ts_ns < self._lid_ns
        ):  # the first frame, or the clock was set back
            self._lid_ns = ts_ns

    def _shapes(self) -> set[tuple[int, ...]]:
        known = {t.mean.shape for t in (self._first, self._learned) if t.frames}
        return known | self._rejected.shapes | {odds.shape for _, odds in list(self._waiting)[:1]}

    def _learn(self, tally: Tally, odds: NDArray[np.float16]) -> None:
        tally.add(odds.astype(np.float32))
        self._limit = None

    def burns(self, odds: Odds | None, ts_ns: int) -> None:
        """A frame of an alarm: what was seen shortly before may belong to it. It is learned if an operator rejects it."""
        if odds is not None:
            self._rejected.add(self._waiting, odds, ts_ns)
        self._waiting.clear()

    def answered(self, number: int, cells: Cells, ts_ns: int, *, fire: bool) -> None:
        """An operator's word about the alarm of class `number` that was raised in these cells at that moment."""
        if fire:
            self._rejected.confirm(number, cells, ts_ns)
        else:
            self._rejected.reject(number, cells, ts_ns)
        self._limit = None

    def clear(self) -> None:
        """The camera looks elsewhere, or another model looks."""
        self._waiting.clear()
        self._first, self._learned, self._rejected = Tally(), Tally(), Rejected()
        self._lid, self._lid_ns = _NONE, 0
        self._limit = self._last_ns = None

    def packed(self, model: str) -> Packed | None:
        """What must survive a restart, if there is anything."""
        frames, mean, square = self._learned.frames, self._learned.mean, self._learned.square
        if mean.ndim != 3 or frames < LEAST_FRAMES:
            frames, square = 0, _NONE
            mean = np.zeros(next(iter(self._rejected.shapes), ()), np.float32)
        if mean.ndim != 3:
            return None
        shape = (mean.shape[0], mean.shape[1], mean.shape[2])
        heat, as_of_ns, alarms = self._rejected.packed(shape)
        lid = half(self._lid) if self._lid.shape == shape else b""
        return Packed(
            model, frames, shape, half(mean) if frames else b"", half(square),
            rejected=heat, rejected_ns=as_of_ns, alarms=alarms, lid=lid, lid_ns=self._lid_ns,
        )  # fmt: skip

    def unpack(self, packed: Packed) -> bool:
        """Goes on from there; False: it does not fit its own shape and is left aside."""
        learned = Tally()
        if packed.frames:
            mean, square = whole(packed.mean, packed.shape), whole(packed.square, packed.shape)
            if mean is None or square is None or packed.frames < LEAST_FRAMES:
                return False
            learned.frames, learned.mean, learned.square = packed.frames, mean, square
        self._learned, self._limit = learned, None
        lid = whole(packed.lid, packed.shape)
        self._lid, self._lid_ns = _NONE if lid is None else lid, packed.lid_ns
        self._rejected.unpack(packed)
        return True
