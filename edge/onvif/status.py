"""A PTZStatus as numbers. Needs no camera."""

from __future__ import annotations

import math
from typing import Any


def told(status: Any) -> tuple[float | None, float | None, float | None, bool | None]:
    """(pan, tilt, zoom, moving); None: the camera does not tell it."""
    position, moves = _get(status, "Position"), _get(status, "MoveStatus")
    pan_tilt, zoom = _get(position, "PanTilt"), _get(position, "Zoom")
    said = [str(_get(moves, name)).upper() for name in ("PanTilt", "Zoom")]
    moving = True if "MOVING" in said else False if "IDLE" in said else None
    return _number(_get(pan_tilt, "x")), _number(_get(pan_tilt, "y")), _number(_get(zoom, "x")), moving  # fmt: skip


def _get(given: Any, name: str) -> Any:
    return getattr(given, name, None)


def _number(given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return None
    return float(given)
