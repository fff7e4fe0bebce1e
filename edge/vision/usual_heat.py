"""How warm each place of a thermal camera is at each hour of the day while nothing burns."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.packed_heat import PackedHeat, PackedHour

_CELL_PX = 4
_USUAL_SIGMAS, _USUAL_K = 3.0, 5.0
_KNOWN_S = 600.0  # an hour's map is believed once it was watched so long
_TAU_S = 3 * 3600.0  # and forgets over three such hours, that is three days
_OLDEST_NS = 3 * 86_400_000_000_000  # of a map that was kept over a restart
_APART_NS, _LAG_NS = 10_000_000_000, 600_000_000_000
_LAG_FRAMES, _MOST_WAITING = 12, 64

Degrees = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Hour:
    """Never changed in place: another thread may be writing it down."""

    mean: Degrees
    spread: Degrees
    watched_s: float = 0.0


class UsualHeat:
    """Sunlit rock, roofs, chimneys: mean and spread of each cell, newer days counting more. One thread at a time, but `packed`."""

    def __init__(self) -> None:
        self._hours: dict[int, _Hour] = {}
        self._waiting: deque[tuple[int, NDArray[np.float16]]] = deque(maxlen=_MOST_WAITING)
        self._last_ns = 0  # of the frame learned last
        self._of_last_run = False

    @property
    def known(self) -> bool:
        """Whether there is anything to be kept."""
        return bool(self._hours)

    @property
    def waiting(self) -> int:
        """Frames that may be learned yet."""
        return len(self._waiting)

    def limit(self, shape: tuple[int, ...], ts_ns: int) -> Degrees | None:
        """(H, W) degrees C that are still usual now; None: neither this hour nor the one before is known yet."""
        self._check(_cells(shape), ts_ns)
        now = _hour(ts_ns)
        both = (self._hours.get(h) for h in (now, (now - 1) % 24))
        hour = next((h for h in both if h is not None and h.watched_s >= _KNOWN_S), None)
        if hour is None:
            return None
        top = hour.mean + np.float32(_USUAL_SIGMAS) * hour.spread + np.float32(_USUAL_K)
        large = np.repeat(np.repeat(top, _CELL_PX, axis=0), _CELL_PX, axis=1)
        return np.asarray(large[: shape[0], : shape[1]], np.float32)

    def mean_near(self, shape: tuple[int, ...], ts_ns: int) -> Degrees | None:
        """What is usual in the known hour of the day that is nearest to now, as `hottest`; None: nothing is known."""
        self._check(_cells(shape), ts_ns)
        now = _hour(ts_ns)
        nearest = min(self._hours, key=lambda h: min((h - now) % 24, (now - h) % 24), default=None)
        return None if nearest is None else self._hours[nearest].mean

    def _check(self, cells: tuple[int, int], ts_ns: int) -> None:
        """A map of other cells is none of this camera, and one of long ago none of this week."""
        stale = self._of_last_run and ts_ns - self._last_ns > _OLDEST_NS
        self._of_last_run = False
        if stale or any(hour.mean.shape != cells for hour in self._hours.values()):
            self.forget()

    def saw(self, celsius: Degrees, ts_ns: int) -> None:
        """A frame without an alarm: learned once ten minutes and twelve frames followed without one. Frames nearer together than 10 s count once."""
        self._check(_cells(celsius.shape), ts_ns)
        cells = hottest(celsius)
        if self._waiting:
            newest_ns, before = self._waiting[-1]
            if 0 <= ts_ns - newest_ns < _APART_NS:
                return
            if ts_ns < newest_ns or before.shape != cells.shape:  # the clock was set back, or so
                self._waiting.clear()
        self._waiting.append((ts_ns, cells.astype(np.float16)))
        while len(self._waiting) > _LAG_FRAMES and ts_ns - self._waiting[0][0] >= _LAG_NS:
            then_ns, learned = self._waiting.popleft()
            self._learn(learned.astype(np.float32), then_ns)

    def burns(self) -> None:
        """An alarm is open: what was seen shortly before may belong to it."""
        self._waiting.clear()

    def _learn(self, cells: Degrees, ts_ns: int) -> None:
        hour = _hour(ts_ns)
        gap_s = min(max((ts_ns - self._last_ns) / 1e9, 0.0), 60.0) if self._last_ns else 0.0
        self._last_ns = ts_ns
        known = self._hours.get(hour)
        if known is None:
            self._hours[hour] = _Hour(cells, np.zeros_like(cells))
            return
        watched_s = min(known.watched_s + gap_s, _TAU_S)
        share = np.float32(gap_s / watched_s if watched_s > 0 else 0.0)
        off = cells - known.mean
        mean = known.mean + share * off
        square = (1 - share) * (known.spread * known.spread + share * off * off)
        self._hours[hour] = _Hour(mean, np.asarray(np.sqrt(square), np.float32), watched_s)

    def forget(self) -> None:
        """The camera looks elsewhere."""
        self._waiting.clear()
        self._hours.clear()

    def packed(self) -> PackedHeat | None:
        """What must survive a restart, if there is anything; 2 MB of a camera of 640 x 512. From any thread."""
        hours, last_ns = dict(self._hours), self._last_ns
        if not hours:
            return None
        rows, columns = next(iter(hours.values())).mean.shape
        return PackedHeat(
            (rows, columns),
            last_ns,
            {
                number: PackedHour(hour.watched_s, _half(hour.mean), _half(hour.spread))
                for number, hour in hours.items()
                if hour.mean.shape == (rows, columns)
            },
        )

    def unpack(self, packed: PackedHeat) -> None:
        """Goes on from there; a map of more than three days ago or of a picture of another size is left aside at the first frame."""
        hours = {
            number: _Hour(_whole(h.mean, packed.shape), _whole(h.spread, packed.shape), h.watched_s)
            for number, h in packed.hours.items()
        }
        if all(np.isfinite(h.mean).all() and np.isfinite(h.spread).all() for h in hours.values()):
            self._hours, self._last_ns, self._of_last_run = hours, packed.last_ns, True


def _half(values: Degrees) -> bytes:
    return values.astype(np.float16).tobytes()


def _whole(data: bytes, shape: tuple[int, int]) -> Degrees:
    return np.frombuffer(data, np.float16).astype(np.float32).reshape(shape)


def _cells(shape: tuple[int, ...]) -> tuple[int, int]:
    return -(-shape[0] // _CELL_PX), -(-shape[1] // _CELL_PX)


def hottest(celsius: Degrees) -> Degrees:
    """(H/4, W/4), the hottest pixel of each cell."""
    height, width = celsius.shape
    rows, columns = _cells(celsius.shape)
    padded = np.pad(
        celsius, ((0, rows * _CELL_PX - height), (0, columns * _CELL_PX - width)), mode="edge"
    )
    return np.asarray(
        padded.reshape(rows, _CELL_PX, columns, _CELL_PX).max(axis=(1, 3)), np.float32
    )


def _hour(ts_ns: int) -> int:
    return ts_ns // 3_600_000_000_000 % 24
