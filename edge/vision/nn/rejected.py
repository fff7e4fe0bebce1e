"""What an operator said of alarms: the heat of a rejected one is usual at its place from then on, that of a confirmed one never."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.vision.nn.odds import Cells, Odds, half, limit_of, spread_over, whole
from edge.vision.nn.packed import Packed, PackedAlarm

_COLD = -20.0  # nothing was rejected there
_FADES_A_DAY = 0.15  # log-odds: three weeks later it says nothing unless it was rejected again
_FADE_EVERY_NS = 3_600_000_000_000
_DAY_NS = 86_400_000_000_000
_JUST_BEFORE = 3  # frames in which it may have begun; more of them would thin out its heat
_REMEMBERED = 6  # alarms whose verdict may still come
_NONE: Odds = np.zeros(0, np.float32)


class Burning:
    """The frames of one or several alarms that were open at a time, and those that waited when the first was raised."""

    def __init__(self, since_ns: int) -> None:
        self.since_ns, self.until_ns = since_ns, since_ns
        self.open, self.confirmed = True, False
        self.frames, self.mean, self.square = 0, _NONE, _NONE

    def add(self, odds: Odds, ts_ns: int) -> None:
        """One more frame."""
        if self.mean.shape != odds.shape:
            self.frames, self.mean, self.square = 0, np.zeros_like(odds), np.zeros_like(odds)
        self.frames += 1
        self.until_ns = max(self.until_ns, ts_ns)
        if not self.confirmed:
            # Never in place: another thread may be writing down what was there.
            self.mean = self.mean + (odds - self.mean) / np.float32(self.frames)
            self.square = self.square + (odds * odds - self.square) / np.float32(self.frames)

    def packed(self) -> PackedAlarm:
        """As it is kept over a restart: of one that ended only what it would teach."""
        mean, spread = self.mean, b""
        if self.confirmed:
            mean = _NONE
        elif self.open:
            spread = half(np.sqrt(np.maximum(self.square - mean * mean, 0)))
        else:
            mean = spread_over(mean, self.square)
        return PackedAlarm(self.since_ns, self.until_ns, self.open, self.confirmed, self.frames, half(mean), spread)  # fmt: skip

    @classmethod
    def unpacked(cls, packed: PackedAlarm, shape: tuple[int, int, int]) -> Burning | None:
        """None: it does not fit."""
        alarm = cls(packed.since_ns)
        alarm.until_ns, alarm.frames = packed.until_ns, packed.frames
        alarm.open, alarm.confirmed = packed.open, packed.confirmed
        mean, spread = whole(packed.mean, shape), whole(packed.spread, shape)
        if mean is not None:
            alarm.mean = mean
            alarm.square = mean * mean + (0 if spread is None else spread * spread)
        elif not packed.confirmed:
            return None
        return alarm

    def has(self, ts_ns: int) -> bool:
        """Whether an alarm of that moment is one of them."""
        return self.since_ns <= ts_ns and (self.open or ts_ns <= self.until_ns)


class Rejected:
    """Of one camera, one spectrum and one version of a model. Bounded: the last few alarms and one map."""

    def __init__(self) -> None:
        self._alarms: deque[Burning] = deque(maxlen=_REMEMBERED)
        self._heat, self._as_of_ns = _NONE, 0

    def add(
        self, before: Iterable[tuple[int, NDArray[np.float16]]], odds: Odds, ts_ns: int
    ) -> None:
        """A frame of an alarm; `before` are those that may belong to it."""
        if not self._alarms or not self._alarms[-1].open:
            waited = list(before)
            now = Burning(min([ts_ns, *(at_ns for at_ns, _ in waited)]))
            for at_ns, early in waited[-_JUST_BEFORE:]:
                now.add(early.astype(np.float32), at_ns)
            self._alarms.append(now)
        self._alarms[-1].add(odds, ts_ns)

    def ended(self) -> None:
        """A frame without an alarm."""
        if self._alarms:
            self._alarms[-1].open = False

    def reject(self, number: int, cells: Cells, ts_ns: int) -> None:
        """The heat of its frames is usual in these cells, at once."""
        for alarm in self._alarms:
            if alarm.has(ts_ns) and alarm.frames and not alarm.confirmed:
                usual = limit_of(alarm.mean, alarm.square)
                heat = self._like(usual)
                heat[number][cells] = np.maximum(heat[number][cells], usual[number][cells])
                self._heat, self._as_of_ns = heat, max(self._as_of_ns, alarm.until_ns)

    def confirm(self, number: int, cells: Cells, ts_ns: int) -> None:
        """Nothing of its frames is ever usual, and what was learned there is forgotten."""
        for alarm in self._alarms:
            if alarm.has(ts_ns):
                alarm.confirmed = True
        if self._heat.ndim == 3:
            heat = self._heat.copy()
            heat[number][cells] = _COLD
            self._heat = heat

    def over(self, usual: Odds | None) -> Odds | None:
        """With what is usual by other frames."""
        if self._heat.ndim != 3:
            return usual
        if usual is None or usual.shape != self._heat.shape:
            return self._heat if usual is None else usual
        return np.maximum(usual, self._heat)

    def faded(self, now_ns: int) -> bool:
        """What was not rejected again counts less with time; whether it changed."""
        if self._heat.ndim != 3 or now_ns - self._as_of_ns < _FADE_EVERY_NS:
            return False
        days = (now_ns - self._as_of_ns) / _DAY_NS
        self._heat = np.maximum(self._heat - np.float32(_FADES_A_DAY * days), np.float32(_COLD))
        self._as_of_ns = now_ns
        return True

    @property
    def shapes(self) -> set[tuple[int, ...]]:
        """Of all that is remembered."""
        each = [self._heat, *(alarm.mean for alarm in list(self._alarms))]
        return {odds.shape for odds in each if odds.ndim == 3}

    def packed(self, shape: tuple[int, int, int]) -> tuple[bytes, int, tuple[PackedAlarm, ...]]:
        """As it is kept over a restart: the map in half precision, how old it is, and alarms whose verdict may still come."""
        heat, as_of_ns = self._heat, self._as_of_ns
        fit = [a for a in list(self._alarms) if a.confirmed or a.mean.shape == shape]
        alarms = tuple(alarm.packed() for alarm in fit)
        return (half(heat), as_of_ns, alarms) if heat.shape == shape else (b"", 0, alarms)

    def unpack(self, packed: Packed) -> None:
        """Goes on from there."""
        heat = whole(packed.rejected, packed.shape)
        if heat is not None:
            self._heat, self._as_of_ns = heat, packed.rejected_ns
        alarms = (Burning.unpacked(alarm, packed.shape) for alarm in packed.alarms)
        self._alarms.extend(alarm for alarm in alarms if alarm is not None)

    def _like(self, odds: Odds) -> Odds:
        if self._heat.shape == odds.shape:
            return self._heat.copy()
        return np.full_like(odds, _COLD)
