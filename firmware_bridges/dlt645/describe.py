"""One frame as plain values: the door of `tocsin decode dlt645`."""

from __future__ import annotations

from typing import Any

from firmware_bridges.dlt645.frames import Frame, decode_frame
from firmware_bridges.dlt645.identifiers import Meaning, meaning, meaning_1997, number
from tocsin.sdk.codec import FrameInput

READ, READ_1997 = 0x11, 0x01
_WITH_IDENTIFIER = (0x11, 0x12, 0x14)


def describe(given: FrameInput) -> dict[str, Any]:
    """Address, control and, where the frame has one, data identifier and value.

    Raises:
        CodecError: the frame is refused.
    """
    frame = decode_frame(given.data)
    facts: dict[str, Any] = {
        "preamble_fe": frame.preamble,
        "address": frame.address,
        "control": f"{frame.control:02x}",
        "from_slave": frame.from_slave,
        "length": len(frame.data),
        "length_ok": True,
        "checksum_ok": True,
    }
    function = frame.control & 0x1F
    if frame.refused:
        return facts | {"error": frame.data.hex()}
    if function in _WITH_IDENTIFIER and len(frame.data) >= 4:
        return facts | _value(frame, 4)
    if function == READ_1997 and len(frame.data) >= 2:
        return facts | {"edition": "1997", "value_bcd": None} | _value(frame, 2)
    return facts | {"data": frame.data.hex()} if frame.data else facts


def _value(frame: Frame, size: int) -> dict[str, Any]:
    di, rest = frame.data[:size][::-1], frame.data[size:]
    facts: dict[str, Any] = {"di": di.hex()}
    if not rest:
        return facts
    if not frame.from_slave:
        return facts | {"data": rest.hex()}
    digits = rest[::-1]
    facts["value_bcd"] = digits.hex()
    told: Meaning | None = meaning(di) if size == 4 else meaning_1997(di)
    if told is not None and len(digits) == told.size:
        facts |= {"value": number(digits, told), "unit": told.unit}
    return facts
