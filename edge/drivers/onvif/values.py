"""A PTZStatus as values. Needs no camera."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from edge.drivers.onvif.config import OnvifConfig
from edge.onvif.status import told
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
    values: tuple[Value, ...] = told(status)
    codes = tuple(0 if value is not None else int(Quality.MISSING) for value in values)
    return values, codes if any(codes) else None


def time_of(status: Any) -> int | None:
    """The camera's own time in nanoseconds."""
    at = getattr(status, "UtcTime", None)
    if not isinstance(at, datetime) or at.year < 1970:
        return None
    past = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000_000 + past.microseconds * 1_000
