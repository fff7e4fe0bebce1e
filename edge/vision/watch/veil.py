"""Masks as pixels that a model's head leaves out, so that what burns beside one is not hidden with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.vision.judge.settings import Mask
from edge.vision.nn.fit import Mask as Pixels
from edge.vision.opencv import cv2

Masks = Callable[[], tuple[Mask, ...]]


def no_masks() -> tuple[Mask, ...]:
    """Of a camera without any."""
    return ()


class Veil:
    """Of one camera; drawn anew when its masks or its size change. Masks for some classes only are left to the rule about boxes."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._drawn: tuple[tuple[Mask, ...], tuple[int, int]] | None = None
        self._pixels: Pixels | None = None

    def over(self, width: int, height: int) -> Pixels | None:
        """(height, width), True where nothing counts; None: everywhere something does."""
        wanted = tuple(m for m in self._masks() if not m.labels), (width, height)
        if wanted != self._drawn:
            self._drawn, self._pixels = wanted, _drawn(*wanted)
        return self._pixels


def _drawn(masks: tuple[Mask, ...], size: tuple[int, int]) -> Pixels | None:
    if not masks:
        return None
    width, height = size
    canvas = np.zeros((height, width), np.uint8)
    for mask in masks:
        corners = np.round(np.array(mask.points) * (width, height)).astype(np.int32)
        cv2.fillPoly(canvas, [corners], 1)
    return canvas.astype(np.bool_)
