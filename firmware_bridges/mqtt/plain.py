"""JSON as anyone sends it: an object, a list of them, or a single value. Pure."""

from __future__ import annotations

from typing import Any

from firmware_bridges.mqtt.report import Report, TimeUnit, flatten, read_json, unix_ns
from tocsin.errors import CodecError, CodecReason


def reports(
    data: bytes,
    device: str,
    *,
    device_path: str = "",
    time_path: str = "",
    time_unit: TimeUnit = "ms",
) -> list[Report]:
    """One report per object; `device` names it unless `device_path` leads to a name in it.

    Raises:
        CodecError: not JSON, or the name or time is not where it should be.
    """
    found = read_json(data)
    items = (
        found if isinstance(found, list) and all(isinstance(i, dict) for i in found) else [found]
    )
    return [_report(item, device, device_path, time_path, time_unit) for item in items]


def _report(
    item: Any, device: str, device_path: str, time_path: str, time_unit: TimeUnit
) -> Report:
    values = flatten(item)
    if device_path:
        name = values.get(device_path)
        if not isinstance(name, str | int) or name == "":
            text = f"no device name at {device_path!r}"
            raise CodecError(CodecReason.BAD_FIELD, text)
        device = str(name)
    if not time_path:
        return Report(device, values)
    if time_path not in values:
        raise CodecError(CodecReason.BAD_FIELD, f"no time at {time_path!r}")
    return Report(device, values, unix_ns(values[time_path], time_unit))
