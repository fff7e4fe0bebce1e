"""What one model or detector found in one frame: all that judging knows of a picture."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Quality(StrEnum):
    """Whether a frame can be judged. Only `GOOD` frames count for or against anything."""

    GOOD = "good"
    FROZEN = "frozen"  # the same picture again and again
    HALF_GREY = "half-grey"  # the decoder filled what it did not receive
    DARK = "dark"  # nothing to see: night without infrared, a covered lens
    SHUTTER = "shutter"  # a thermal camera looking at its own shutter


class Box(msgspec.Struct, frozen=True):
    """One found object, in pixels of the camera's whole picture, origin at the top left."""

    label: str  # the model's class: smoke, fire, hot-spot, person ...
    score: float  # 0..1
    x: float
    y: float
    width: float
    height: float


class Observation(msgspec.Struct, frozen=True):
    """One frame as one model or detector saw it."""

    camera: str
    index: int  # counts the frames that the camera gave since it was opened, from 0
    ts_ns: int  # when the frame was taken, Unix time
    width: int  # of the whole picture, px
    height: int
    scores: dict[str, float]  # by class, of the whole picture, 0..1
    boxes: tuple[Box, ...] = ()
    model: str = ""
    version: str = ""
    spectrum: Literal["visible", "infrared", "thermal"] = "visible"  # infrared: grey night mode
    quality: Quality = Quality.GOOD
    moved: bool = False  # the camera turned or shook since the frame before
    cues: dict[str, float] = {}  # classical tests by name: drift up, flicker, contrast in K
    settled: bool = True  # else nobody knows yet what is usual there: it teaches no threshold
