"""What an operator says of an alarm, on its way to the eye that raised it."""

from __future__ import annotations

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """Confirmed (`fire`) or rejected."""

    label: str
    box: tuple[float, float, float, float]  # x, y, width, height, shares of the picture
    ts_ns: int  # when it was raised
    fire: bool
