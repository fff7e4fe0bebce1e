"""What a source of frames is. A source belongs to the thread of its camera and may block it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.vision.sources.damage import Damage

Raw = NDArray[Any]
"""As the camera gave it: (H, W) or (H, W, 3 or 4) uint8, or (H, W) uint16 thermal counts."""

Wait = Callable[[float], bool]
"""Waits so many seconds; True when the source shall end instead."""


class Reject(StrEnum):
    """Why a picture that came is not looked at. Stable; the name of a counter."""

    TOO_SMALL = "too-small"
    TOO_LARGE = "too-large"
    TRUNCATED = "truncated"  # its end is missing
    DAMAGED = "damaged"  # a part of its middle is missing or was overwritten; told of JPEGs
    UNREADABLE = "unreadable"  # not a picture, or of a kind that is not known
    EIGHT_BIT = "8-bit"  # tells no temperature, and temperatures are wanted
    SIXTEEN_BIT = "16-bit"  # counts, and nobody said what a count is


@dataclass(frozen=True, slots=True, eq=False)
class Suspect:
    """A whole picture of a file that is written wrong. `reject` is why it is not looked at where that is not known as its camera's habit."""

    picture: Raw
    damage: Damage
    reject: Reject


class Source(Protocol):
    """One camera's frames."""

    live: bool
    """False for files that are read as fast as somebody looks: no frame of theirs is passed over."""

    def open(self) -> None:
        """Connects, and returns once the first frame is there for `grab`.

        Raises:
            LinkError: it cannot be reached, refuses us, or gives no frame.
        """
        ...

    def grab(self) -> bool:
        """Waits for the next frame without decoding more of it than needed; False: there are no more.

        Raises:
            LinkError: none came within the source's time, or the connection is gone. Open anew then.
        """
        ...

    def retrieve(self) -> Raw | Reject | Suspect:
        """The frame of the last `grab`."""
        ...

    def close(self) -> None:
        """Frees everything; may be called in any state, and again."""
        ...


def is_counts(raw: Raw) -> bool:
    """Whether these are thermal counts."""
    return raw.dtype == np.uint16
