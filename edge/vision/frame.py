"""One frame of a camera, ready to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.vision.observation import Quality

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 BGR."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A visible or infrared camera gives `picture`, a radiometric one `celsius` and `valid`; never both."""

    camera: str
    index: int  # counts the frames that the camera gave, from 0, also over reconnects
    ts_ns: int  # when the gateway got it, Unix time
    picture: Picture | None
    celsius: NDArray[np.float32] | None = None  # (H, W), degrees C
    valid: NDArray[np.bool_] | None = None  # (H, W), False where `celsius` tells nothing
    spectrum: Literal["visible", "infrared", "thermal"] = "visible"
    quality: Quality = Quality.GOOD
    moved: bool = False  # turned, shook, or has another size than before: references are void

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        shown = self.picture if self.picture is not None else self.celsius
        assert shown is not None  # noqa: S101 - one of them is there
        return shown.shape[1], shown.shape[0]
