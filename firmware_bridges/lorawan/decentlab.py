"""Decentlab's payload, protocol version 2: version, device id, sensor flags, 16-bit words big-endian. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import msgspec

from firmware_bridges.lorawan.models import Reading, SensorModel
from tocsin.errors import CodecError, CodecReason

VERSION = 2
_HEAD = struct.Struct(">BHH")


class Payload(msgspec.Struct, frozen=True):
    """What a payload says."""

    device_id: int
    flags: int
    readings: tuple[Reading, ...]


def decode(
    data: bytes, model: SensorModel, parameters: Mapping[str, float] | None = None
) -> Payload:
    """Read a payload of that model; `parameters` in place of the model's defaults.

    Raises:
        CodecError: another version, or not the words that the flags announce.
    """
    if data[:1] and data[0] != VERSION:
        text = f"protocol version is {data[0]}, we speak {VERSION}"
        raise CodecError(CodecReason.UNSUPPORTED, text, offset=0)
    if len(data) < _HEAD.size:
        text = f"{len(data)} bytes, a payload has at least {_HEAD.size}"
        raise CodecError(CodecReason.TRUNCATED, text, offset=len(data))
    _, device_id, flags = _HEAD.unpack_from(data)
    if flags >> len(model.sensors):
        text = f"flags {flags:#06x}: {model.name} has {len(model.sensors)} sensors"
        raise CodecError(CodecReason.BAD_FIELD, text, offset=3)
    present = [s for bit, s in enumerate(model.sensors) if flags >> bit & 1]
    wanted = _HEAD.size + 2 * sum(s.words for s in present)
    if len(data) != wanted:
        reason = CodecReason.TRUNCATED if len(data) < wanted else CodecReason.LENGTH
        text = f"{len(data)} bytes, the flags of {model.name} announce {wanted}"
        raise CodecError(reason, text, offset=min(len(data), wanted))
    words = struct.unpack_from(f">{(wanted - _HEAD.size) // 2}H", data, _HEAD.size)
    numbers = model.parameters | dict(parameters or {})
    readings: list[Reading] = []
    for sensor in present:
        readings += sensor.read(words[: sensor.words], numbers)
        words = words[sensor.words :]
    return Payload(device_id, flags, tuple(readings))
