"""Hot spots in a radiometric picture: absolute temperature, contrast to the surroundings, and what is usual there at this hour.

A distant fire fills part of a pixel, so its temperature is diluted: there contrast finds it, at short range the absolute limit does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Frame
from edge.vision.observation import Box, Observation, Quality
from edge.vision.opencv import cv2

LABEL = "hot-spot"
_AROUND_PX = 31
_LEAST_PX = 2
_MOST_BOXES = 20
_SATURATED_TIMES = 2.0  # the limit at least: how hot it is nobody knows
_CELL_PX = 4  # of the map of the day
_USUAL_SIGMAS, _USUAL_K = 3.0, 5.0
_KNOWN_S = 600.0  # an hour's map is believed once it was watched so long
_TAU_S = 3 * 3600.0  # and forgets over three such hours, that is three days
_APART_NS, _LAG_NS = 10_000_000_000, 600_000_000_000
_LAG_FRAMES, _MOST_WAITING = 12, 64

Degrees = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeatLimits:
    """Degrees C and K. The defaults are for forests; a plant sets `high_c` for each asset."""

    high_c: float = 150.0  # hot whatever is around
    low_c: float = 60.0  # less is never a fire
    contrast_k: float = 25.0  # over the mean of the 31 x 31 px around


class HotSpots:
    """One camera's. Its observations have the class `hot-spot`; a score of 0.5 is the limit, 0.67 twice the limit."""

    def __init__(self, limits: HeatLimits | None = None) -> None:
        self._limits = limits or HeatLimits()
        self._usual = UsualHeat()

    def look(self, frame: Frame, *, learn: bool = True) -> Observation:
        """What is hot and not so every day. `learn` False: an alarm is open, nothing of it becomes usual."""
        width, height = frame.size
        boxes: list[Box] = []
        cues: dict[str, float] = {}
        quality = frame.quality
        if frame.moved:
            self._usual.forget()
        if quality is Quality.GOOD and frame.celsius is not None and frame.valid is not None:
            # A pixel beyond the camera's range tells no temperature, and it is hot.
            saturated = ~frame.valid & (frame.celsius > self._limits.low_c)
            known = frame.valid | saturated
            if known.any():
                boxes, cues = self._hot(frame.celsius, known, saturated, frame.ts_ns, learn)
            else:
                quality = Quality.SHUTTER
        return Observation(
            frame.camera,
            frame.index,
            frame.ts_ns,
            width,
            height,
            {LABEL: max((b.score for b in boxes), default=0.0)},
            tuple(boxes),
            "hot-spots",
            "1",
            "thermal",
            quality,
            frame.moved,
            cues,
        )

    def _hot(
        self,
        celsius: Degrees,
        known: NDArray[np.bool_],
        saturated: NDArray[np.bool_],
        ts_ns: int,
        learn: bool,
    ) -> tuple[list[Box], dict[str, float]]:
        limits = self._limits
        valid = celsius[known & ~saturated]
        cold = min(float(np.median(valid)), limits.low_c) if valid.size else limits.low_c
        filled = np.where(known, celsius, np.float32(cold))
        contrast = np.asarray(filled - cv2.blur(filled, (_AROUND_PX, _AROUND_PX)), np.float32)
        hot = (contrast > limits.contrast_k) & (filled > limits.low_c)
        usual = self._usual.limit(filled.shape, ts_ns)
        if usual is not None:
            hot &= filled > usual
        absolute = (filled > limits.high_c) | saturated  # no habit makes that usual
        hot |= absolute
        if learn:
            self._usual.saw(np.minimum(filled, np.float32(limits.high_c)), ts_ns)
        else:
            self._usual.burns()
        cues = {
            "max_c": float(filled.max()),
            "contrast_k": float(contrast.max()),
            "saturated": float(saturated.mean()),
            "over_limit_px": float(np.count_nonzero(absolute)),
        }
        return list(self._boxes(hot, filled, contrast, saturated)), cues

    def _boxes(
        self,
        hot: NDArray[np.bool_],
        celsius: Degrees,
        contrast: NDArray[np.float32],
        saturated: NDArray[np.bool_],
    ) -> list[Box]:
        limits = self._limits
        if not hot.any():
            return []
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(hot.astype(np.uint8))
        sizes = stats[1:, cv2.CC_STAT_AREA]
        boxes = []
        for number in np.argsort(-sizes, kind="stable")[:_MOST_BOXES] + 1:
            if count <= 1 or sizes[number - 1] < _LEAST_PX:
                break
            x, y, width, height = (int(v) for v in stats[number, :4])
            window = np.s_[y : y + height, x : x + width]
            inside = numbers[window] == number
            over = (celsius[window][inside] - limits.low_c) / (limits.high_c - limits.low_c)
            times = max(
                float(over.max()),
                float(contrast[window][inside].max()) / limits.contrast_k,
                _SATURATED_TIMES if saturated[window][inside].any() else 0.0,
            )
            boxes.append(Box(LABEL, times / (1 + times), x, y, width, height))
        return boxes


class UsualHeat:
    """How warm each place is at each hour of the day: sunlit rock, roofs, chimneys. Mean and spread, newer days counting more."""

    def __init__(self) -> None:
        self._mean: dict[int, Degrees] = {}
        self._square: dict[int, Degrees] = {}
        self._watched_s: dict[int, float] = {}
        self._waiting: deque[tuple[int, NDArray[np.float16]]] = deque(maxlen=_MOST_WAITING)
        self._last_ns = 0  # of the frame learned last

    @property
    def waiting(self) -> int:
        """Frames that may be learned yet."""
        return len(self._waiting)

    def limit(self, shape: tuple[int, ...], ts_ns: int) -> Degrees | None:
        """(H, W) degrees C that are still usual now; None: neither this hour nor the one before is known yet."""
        now = _hour(ts_ns)
        known = (h for h in (now, (now - 1) % 24) if self._watched_s.get(h, 0.0) >= _KNOWN_S)
        hour = next(known, None)
        if hour is None:
            return None
        mean = self._mean[hour]
        spread = np.sqrt(np.maximum(self._square[hour] - mean * mean, 0))
        top = mean + np.float32(_USUAL_SIGMAS) * spread + np.float32(_USUAL_K)
        large = np.repeat(np.repeat(top, _CELL_PX, axis=0), _CELL_PX, axis=1)
        return np.asarray(large[: shape[0], : shape[1]], np.float32)

    def saw(self, celsius: Degrees, ts_ns: int) -> None:
        """A frame without an alarm: learned once ten minutes and twelve frames followed without one. Frames nearer together than 10 s count once."""
        cells = _hottest(celsius)
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
        known = self._mean.get(hour)
        if known is None or known.shape != cells.shape:
            self._mean[hour], self._square[hour] = cells, cells * cells
            self._watched_s[hour] = 0.0
            return
        watched_s = self._watched_s[hour] = min(self._watched_s[hour] + gap_s, _TAU_S)
        share = np.float32(gap_s / watched_s if watched_s > 0 else 0.0)
        self._mean[hour] += share * (cells - self._mean[hour])
        self._square[hour] += share * (cells * cells - self._square[hour])

    def forget(self) -> None:
        """The camera looks elsewhere."""
        self._waiting.clear()
        self._mean.clear()
        self._square.clear()
        self._watched_s.clear()


def _hottest(celsius: Degrees) -> Degrees:
    """(H/4, W/4), the hottest pixel of each cell."""
    height, width = celsius.shape
    rows, columns = -(-height // _CELL_PX), -(-width // _CELL_PX)
    padded = np.pad(
        celsius, ((0, rows * _CELL_PX - height), (0, columns * _CELL_PX - width)), mode="edge"
    )
    return np.asarray(
        padded.reshape(rows, _CELL_PX, columns, _CELL_PX).max(axis=(1, 3)), np.float32
    )


def _hour(ts_ns: int) -> int:
    return ts_ns // 3_600_000_000_000 % 24
