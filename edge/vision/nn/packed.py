"""What is usual at a camera, as its file keeps it."""

from __future__ import annotations

import msgspec


class PackedAlarm(msgspec.Struct, frozen=True):
    """The heat of the frames of alarms whose verdict may still come, in half precision; without `spread` there was none, without both nothing can be learned of it."""

    since_ns: int
    until_ns: int
    open: bool
    confirmed: bool
    frames: int
    mean: bytes = b""
    spread: bytes = b""


class Packed(msgspec.Struct, frozen=True):
    """As it is kept over a restart: mean and mean square in half precision, for one version of a model. `frames` 0: too few were learned yet."""

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
    alarms: tuple[PackedAlarm, ...] = ()
