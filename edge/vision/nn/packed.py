"""What is usual at a camera, as its file keeps it."""

from __future__ import annotations

import msgspec


class Packed(msgspec.Struct, frozen=True):
    """As it is kept over a restart: mean and mean square in half precision, for one version of a model."""

    model: str  # and its version
    frames: int
    shape: tuple[int, int, int]
    mean: bytes
    square: bytes
    rejected: bytes = b""  # heat that people said is none of a fire
    rejected_ns: int = 0
    outline: bytes = b""  # where the camera looked
    lid: bytes = b""  # what was usual when its last day began; none yet on the first one
    lid_ns: int = 0
