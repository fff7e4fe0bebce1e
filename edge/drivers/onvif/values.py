"""A PTZStatus as values. Needs no camera."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from edge.drivers.onvif.config import OnvifConfig
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality
from tocsin.sdk import Channel, DeviceSpec, SourceWindow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def spec_of(config: OnvifConfig) -> DeviceSpec:
    """The camera as it is announced."""
    axes = {"pan": config.pan, "tilt": config.tilt, "zoom": config.zoom}
    channels = [Channel(name, a.unit, "f", a.scale, a.offset) for name, a in axes.items()]
    return DeviceSpec(
        id=config.device,
        measurement=config.measurement,
        channels=(*channels, Channel("moving", "1", "b")),
        period_s=config.period_s,
        window=SourceWindow(max_past_s=config.max_past_s),
        model=config.model,
    )


def values_of(status: Any) -> tuple[tuple[Value, ...], tuple[int, ...] | None]:
    """(pan, tilt, zoom, moving) and their qualities; what the camera does not tell is missing."""
    position, moves = _get(status, "Position"), _get(status, "MoveStatus")
    pan_tilt, zoom = _get(position, "PanTilt"), _get(position, "Zoom")
    axes = [_number(_get(pan_tilt, "x")), _number(_get(pan_tilt, "y")), _number(_get(zoom, "x"))]
    told = [str(_get(moves, name)).upper() for name in ("PanTilt", "Zoom")]
    moving = True if "MOVING" in told else False if "IDLE" in told else None
    values: tuple[Value, ...] = (*axes, moving)
    codes = tuple(0 if value is not None else int(Quality.MISSING) for value in values)
    return values, codes if any(codes) else None


def time_of(status: Any) -> int | None:
    """The camera's own time in nanoseconds."""
    at = _get(status, "UtcTime")
    if not isinstance(at, datetime) or at.year < 1970:
        return None
    past = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000_000 + past.microseconds * 1_000


def _get(given: Any, name: str) -> Any:
    return getattr(given, name, None)


def _number(given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return None
    return float(given)
