"""One frame as plain values: the door of `tocsin decode dlt645`."""

from __future__ import annotations

from typing import Any

from firmware_bridges.dlt645.frames import (
    ERRORS,
    ERRORS_1997,
    FUNCTIONS,
    Frame,
    Function,
    decode_frame,
)
from firmware_bridges.dlt645.values import read
from tocsin.sdk.codec import FrameInput

_IDENTIFIED = {
    Function.READ: 4,
    Function.READ_MORE: 4,
    Function.WRITE: 4,
    Function.READ_1997: 2,
    Function.READ_MORE_1997: 2,
    Function.WRITE_1997: 2,
}
_OF_1997 = (Function.READ_1997, Function.READ_MORE_1997, Function.WRITE_1997)
_NUMBERED = (Function.READ_MORE,)  # its data end with the number of the frame


def describe(given: FrameInput) -> dict[str, Any]:
    """Address, control and, where the frame has one, data identifier and value, or the values of a block.

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
    if frame.function in FUNCTIONS:
        facts["function"] = FUNCTIONS[frame.function]
    if frame.from_slave and frame.more:
        facts["more"] = True
    old = frame.function in _OF_1997
    if old:
        facts["edition"] = "1997"
    if frame.refused:
        names = ERRORS_1997 if old else ERRORS
        word = frame.data[0] if frame.data else 0
        told = [names.get(bit, f"bit{bit}") for bit in range(8) if word >> bit & 1]
        return facts | {"error": frame.data.hex(), "errors": told}
    size = _IDENTIFIED.get(Function(frame.function)) if frame.function in FUNCTIONS else None
    if size is not None and len(frame.data) >= size:
        return facts | ({"value_bcd": None} if old else {}) | _value(frame, size)
    return facts | _plain(frame)


def _value(frame: Frame, size: int) -> dict[str, Any]:
    di, rest = frame.data[:size][::-1], frame.data[size:]
    facts: dict[str, Any] = {"di": di.hex()}
    if frame.function in _NUMBERED and rest:
        facts["frame_number"], rest = rest[-1], rest[:-1]
    if not rest:
        return facts
    if not frame.from_slave:
        return facts | {"data": rest.hex()}
    facts["value_bcd"] = rest[::-1].hex()
    in_parts = frame.more or frame.function in _NUMBERED
    return facts if in_parts else facts | read(di, rest)


def _plain(frame: Frame) -> dict[str, Any]:
    if not frame.data:
        return {}
    facts: dict[str, Any] = {"data": frame.data.hex()}
    digits = frame.data[::-1].hex()
    if frame.function == Function.READ_ADDRESS and frame.from_slave and len(frame.data) == 6:
        facts["meter_address"] = digits
    if frame.function == Function.SET_TIME and len(frame.data) == 6 and digits.isdigit():
        pairs = [digits[i : i + 2] for i in range(0, 12, 2)]
        facts["time"] = "20" + "-".join(pairs[:3]) + "T" + ":".join(pairs[3:])
    return facts
