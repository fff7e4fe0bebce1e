"""Hot spots in a radiometric picture: absolute temperature, contrast to the surroundings, and what is usual there at this hour.

A distant fire fills part of a pixel, so its temperature is diluted: there contrast finds it, at short range the absolute limit does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Frame
from edge.vision.heat_place import HeatPlace
from edge.vision.observation import Box, Observation, Quality
from edge.vision.opencv import cv2
from edge.vision.packed_heat import PackedHeat
from edge.vision.usual_heat import Degrees

LABEL = "hot-spot"
_AROUND_PX = 31
_LEAST_PX = 2
_MOST_BOXES = 20
_SATURATED_TIMES = 2.0  # the limit at least: how hot it is nobody knows


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
        self._place = HeatPlace()

    @property
    def knows(self) -> bool:
        """Whether anything is known to be usual there."""
        return self._place.usual.known

    def kept(self) -> PackedHeat | None:
        """What is usual there by the hour, to be kept over a restart; from any thread."""
        return self._place.usual.packed()

    def goes_on(self, packed: PackedHeat) -> None:
        """With what was usual there in the last run."""
        self._place.goes_on(packed)

    def look(self, frame: Frame, *, learn: bool = True) -> Observation:
        """What is hot and not so every day. `learn` False: an alarm is open, nothing of it becomes usual."""
        width, height = frame.size
        boxes: list[Box] = []
        cues: dict[str, float] = {}
        quality = frame.quality
        moved = self._place.moved(frame)
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
            moved,
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
        usual = self._place.usual.limit(filled.shape, ts_ns)
        if usual is not None:
            hot &= filled > usual
        absolute = (filled > limits.high_c) | saturated  # no habit makes that usual
        hot |= absolute
        if learn:
            self._place.usual.saw(np.minimum(filled, np.float32(limits.high_c)), ts_ns)
        else:
            self._place.usual.burns()
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
