"""ThingsBoard's JSON: gateway telemetry of several devices, and one device's own. Pure.

https://thingsboard.io/docs/reference/gateway-mqtt-api/ (v1/gateway/telemetry), .../mqtt-api/ (v1/devices/me/telemetry).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from firmware_bridges.mqtt.report import MAX_VALUES, Report, flatten, read_json, unix_ns
from tocsin.contract.catalogue import Value
from tocsin.errors import CodecError, CodecReason


def reports(data: bytes, device: str = "") -> list[Report]:
    """Gateway telemetry; with `device`, that device's own telemetry. Times are milliseconds.

    Raises:
        CodecError: not of this form.
    """
    found = read_json(data)
    if device:
        return list(_of_device(device, found))
    if not isinstance(found, dict):
        raise CodecError(CodecReason.FRAMING, "gateway telemetry is an object by device")
    told = [report for name, item in found.items() for report in _of_device(str(name), item)]
    if len(told) > MAX_VALUES:
        raise CodecError(CodecReason.OVERSIZED, f"more than {MAX_VALUES} reports")
    return told


def encode(rows: Iterable[tuple[str, int, dict[str, Value]]]) -> bytes:
    """Gateway telemetry of (device, time in ns, values); milliseconds are all that it can carry."""
    told: dict[str, list[dict[str, Any]]] = {}
    for device, time_ns, values in rows:
        told.setdefault(device, []).append({"ts": time_ns // 1_000_000, "values": values})
    return msgspec.json.encode(told)


def _of_device(name: str, item: Any) -> Iterable[Report]:
    for one in item if isinstance(item, list) else [item]:
        if not isinstance(one, dict):
            raise CodecError(CodecReason.BAD_FIELD, f"telemetry of {name[:64]!r} is no object")
        if "ts" in one and isinstance(one.get("values"), dict):
            yield Report(name, flatten(one["values"]), unix_ns(one["ts"], "ms"))
        else:
            yield Report(name, flatten(one))
