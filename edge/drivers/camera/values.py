"""Cameras as devices: their quantities, the row of one moment, and the commands they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.drivers.camera.config import CameraDevice
from edge.vision.pipeline.health import CameraHealth, CameraState
from tocsin.contract.catalogue import Value
from tocsin.contract.quality import Quality as Code
from tocsin.sdk import Argument, Channel, CommandSpec, DeviceSpec

if TYPE_CHECKING:
    from edge.vision.nn.slot import Looking

COMMANDS = (
    CommandSpec(
        "verdict",
        "Say what a detection was; the camera learns from it",
        (
            Argument("detection", "text", low=1, high=64),
            Argument("verdict", "text", choices=("confirmed", "rejected")),
        ),
    ),
    CommandSpec(
        "masks",
        "Parts of the picture where nothing counts: JSON, [{points: [[x, y], ...], labels: []}]",
        (Argument("masks", "text", low=2, high=4000),),
    ),
    CommandSpec("view", "Take a picture for the wall now"),
)
_SHARED = (
    Channel("confirmed", "1", "i"),
    Channel("usable", "1", "b"),
    Channel("unjudged", "1", "s"),
    Channel("fps", "Hz"),
    Channel("looks", "Hz"),
    Channel("frame_age", "s"),
    Channel("latency", "ms"),
    Channel("rejected", "1", "i"),
    Channel("reconnects", "1", "i"),
)
_MODEL = (Channel("model", "1", "s"), Channel("model_trial", "1", "b"))
_SEEN = {False: ("smoke", "fire"), True: ("hot_spot", "temperature")}
_UNIT = {"temperature": "Cel"}


def spec_of(device: CameraDevice, period_s: float) -> DeviceSpec:
    """The device that a camera is."""
    seen = tuple(Channel(q, _UNIT.get(q, "1")) for q in _SEEN[device.radiometric])
    model = "radiometric" if device.radiometric else device.model
    channels = (*seen, *_SHARED, *(() if device.radiometric else _MODEL))
    return DeviceSpec(device.id, "vision", channels, period_s, model=model, commands=COMMANDS)


def values_of(
    spec: DeviceSpec,
    health: CameraHealth,
    confirmed: int,
    seen: dict[str, float],
    looking: Looking | None = None,
) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    """The row of this moment and its quality. `seen`: what the newest look found, by quantity. `looking`: with what.

    Of a camera that does not answer it is missing (`COMMS`), of one that answers and cannot be judged it is left out.
    """
    here = health.state is CameraState.ONLINE
    if not here:  # nothing of it answers: a value, were it a zero, would say that it does
        count = len(spec.channels)
        return (None,) * count, (int(Code.COMMS),) * count
    usable = not health.unjudged
    told: dict[str, Value] = {
        "confirmed": confirmed,
        "usable": usable,
        "unjudged": health.unjudged,
        "fps": health.fps,
        "looks": health.looked_fps,
        "frame_age": None if health.age_s is None else round(health.age_s, 3),
        "latency": health.latency_p50_ms,
        "rejected": sum(health.rejected.values()),
        "reconnects": health.reconnects,
    }
    if looking is not None:
        told |= {"model": looking.model, "model_trial": looking.on_trial}
    shown: dict[str, Value] = {**told, **(seen if usable else {})}
    return tuple(shown.get(c.quantity) for c in spec.channels), (0,) * len(spec.channels)
