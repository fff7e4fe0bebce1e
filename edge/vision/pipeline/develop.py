"""From what a source gave to a frame: depth, size, temperatures, quality. One `Developer` a camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.frame import Frame, Picture
from edge.vision.observation import Quality
from edge.vision.pipeline import checks
from edge.vision.pipeline.watching import (
    LEAST_K,
    LEAST_LEVELS,
    Ceiling,
    Holes,
    Light,
    Movement,
    Spectrum,
    Stillness,
)
from edge.vision.sources.picture_file import MAX_PIXELS
from edge.vision.sources.source import Raw, Reject, is_counts

MIN_SIDE = 32
SATURATED = 65_535
ABSOLUTE_ZERO_C = -273.15
_DAY: Spectrum = "visible"


@dataclass(frozen=True, slots=True)
class Radiometry:
    """T = counts * kelvin_per_count - 273.15: "temperature linear" output of FLIR Lepton (0.01), Tau 2 (0.04 or 0.4) and others."""

    kelvin_per_count: float = 0.01

    def celsius(self, counts: NDArray[np.uint16]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(degrees C, which of them hold): a count of 0 and one of 65535 tell nothing but too cold and too hot."""
        degrees = counts.astype(np.float32) * np.float32(self.kelvin_per_count)
        degrees += np.float32(ABSOLUTE_ZERO_C)
        return degrees, (counts > 0) & (counts < SATURATED)


class Developer:
    """Remembers what it needs of the frames before. `resolution_changes` counts them."""

    def __init__(
        self,
        camera: str,
        *,
        radiometry: Radiometry | None = None,
        frozen_after_s: float = 10.0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._camera, self._max_pixels = camera, max_pixels
        self._radiometry = radiometry
        self._movement = Movement(LEAST_LEVELS if radiometry is None else LEAST_K)
        self._stillness = Stillness(frozen_after_s)
        self._holes, self._ceiling = Holes(), Ceiling()
        self._shape: tuple[int, ...] | None = None
        self._void = (
            False  # the camera moved or its size changed, and no frame that was looked at told so
        )
        self._is_dark = False
        self._light, self._spectrum = Light(), _DAY
        self.resolution_changes = 0

    def develop(self, raw: Raw, index: int, ts_ns: int, mono_ns: int) -> Frame | Reject:
        """`ts_ns` is when it was taken, `mono_ns` the same moment on the monotonic clock."""
        refused = self._refused(raw)
        if refused is not None:
            return refused
        self._void |= self._resized(raw)
        frozen = self._stillness.frozen(raw, mono_ns)
        if self._radiometry is not None:
            return self._thermal(self._radiometry, raw, index, ts_ns, mono_ns, frozen)
        picture = as_bgr(raw)
        slow = self._movement.due(mono_ns)
        if slow:  # what does not change in a second is not asked more often
            self._is_dark = checks.is_dark(picture)
        quality = Quality.GOOD
        has_hole = self._holes.shown(checks.cells(picture), mono_ns)
        if has_hole or checks.is_half_grey(picture):
            quality = Quality.HALF_GREY
        elif self._is_dark:
            quality = Quality.DARK
        elif frozen:
            quality = Quality.FROZEN
        elif self._lit_anew(picture) or slow:
            self._void |= self._movement.moved(checks.thumbnail(picture), mono_ns)
        return Frame(
            self._camera, index, ts_ns, picture,
            spectrum=self._spectrum, quality=quality, moved=self._told_void(quality),
        )  # fmt: skip

    def _lit_anew(self, picture: Picture) -> bool:
        """It went to its night mode or came back: what is lit from elsewhere is not compared with what was before."""
        before, self._spectrum = self._spectrum, self._light.saw(checks.chroma(picture))
        if self._spectrum == before:
            return False
        self._movement.forget()
        return True

    def _told_void(self, quality: Quality) -> bool:
        """Told with each frame until one that is looked at."""
        void = self._void
        self._void = void and quality is not Quality.GOOD
        return void

    def _refused(self, raw: Raw) -> Reject | None:
        known = raw.dtype == np.uint8 and (
            raw.ndim == 2 or (raw.ndim == 3 and raw.shape[2] in (1, 3, 4))
        )
        if not known and not (raw.dtype == np.uint16 and raw.ndim == 2):
            return Reject.UNREADABLE
        if is_counts(raw) != (self._radiometry is not None):
            return Reject.SIXTEEN_BIT if is_counts(raw) else Reject.EIGHT_BIT
        if min(raw.shape[:2]) < MIN_SIDE:
            return Reject.TOO_SMALL
        return Reject.TOO_LARGE if raw.shape[0] * raw.shape[1] > self._max_pixels else None

    def _resized(self, raw: Raw) -> bool:
        before, self._shape = self._shape, raw.shape[:2]
        if before in (None, self._shape):
            return False
        self.resolution_changes += 1
        self._movement.forget()
        return True

    def _thermal(self, radiometry: Radiometry, raw: Raw, index: int, ts_ns: int, mono_ns: int, frozen: bool) -> Frame:  # fmt: skip
        celsius, valid = radiometry.celsius(raw)
        shutter = checks.is_shutter(celsius, valid)
        quality = Quality.SHUTTER if shutter else Quality.FROZEN if frozen else Quality.GOOD
        if quality is Quality.GOOD and self._movement.due(mono_ns):
            small = checks.thermal_thumbnail(celsius)
            if self._movement.moved(small, mono_ns, self._ceiling.over(small, mono_ns)):
                self._void, self._ceiling = True, Ceiling()
        return Frame(
            self._camera, index, ts_ns, None, celsius, valid, "thermal", quality, self._told_void(quality)
        )  # fmt: skip


def as_bgr(raw: Raw) -> Picture:
    """(H, W, 3) uint8 BGR of grey, BGR or BGRA."""
    if raw.ndim == 3 and raw.shape[2] == 3:
        return raw
    grey = raw.ndim == 2 or raw.shape[2] == 1
    return np.asarray(
        cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR if grey else cv2.COLOR_BGRA2BGR), np.uint8
    )
