"""One frame as plain values: the door of `tocsin decode sl651`."""

from __future__ import annotations

from typing import Any

from firmware_bridges.sl651.body import parse
from firmware_bridges.sl651.frames import decode_frame
from tocsin.sdk.codec import FrameInput

FUNCTIONS = {
    0x2F: "link keepalive",
    0x30: "test",
    0x31: "uniform-period",
    0x32: "timed",
    0x33: "incremental(alarm)",
    0x34: "hourly",
    0x35: "manual",
    0x36: "image",
    0x37: "query realtime",
}


def describe(given: FrameInput) -> dict[str, Any]:
    """Frame, times and elements.

    Raises:
        CodecError: the frame is refused.
    """
    data = given.data
    frame = decode_frame(data)
    end = len(data) - frame.trailing
    facts: dict[str, Any] = {
        "direction": "up" if frame.up else "down",
        "centre": frame.centre,
        "station": frame.station,
        "function": f"{frame.function:02X}",
        "function_name": FUNCTIONS.get(frame.function),
        "body_length": int.from_bytes(data[11:13], "big") & 0xFFF,
        "start": f"{frame.start:02X}",
        "end": f"{frame.end:02X}",
        "crc": data[end - 2 : end].hex(),
        "crc_ok": True,
        "trailing_bytes": frame.trailing,
        "body_hex": frame.body.hex(),
    }
    if frame.parts is not None:
        facts |= {"packet_total": frame.parts, "packet_index": frame.part}
    if frame.part is not None and frame.part > 1:
        return facts
    body = parse(frame.body)
    told = {
        "serial": body.serial,
        "send_time": body.send_time,
        "element_station": body.station,
        "station_class": body.station_class,
        "obs_time": body.obs_time,
        "elements": body.elements,
        "raw_after_station": body.rest,
    }
    return facts | {name: value for name, value in told.items() if value is not None}
