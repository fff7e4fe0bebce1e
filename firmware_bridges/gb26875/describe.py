"""One frame, or its application data alone, as plain values: the door of `tocsin decode gb26875`."""

from __future__ import annotations

from typing import Any

from firmware_bridges.gb26875.app_data import decode_app, read_app, time_of
from firmware_bridges.gb26875.frames import COMMANDS, START, Frame, decode_frame
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput


def describe(given: FrameInput) -> dict[str, Any]:
    """`kind` frame or app_data; without one, what begins with 40 40 is a frame.

    Raises:
        CodecError: the frame or data is refused.
    """
    kind = given.kind or ("frame" if given.data[:2] == START else "app_data")
    if kind == "app_data":
        return decode_app(given.data)
    if kind != "frame":
        raise CodecError(CodecReason.BAD_INPUT, f"kind is frame or app_data, not {kind}")
    return _described(decode_frame(given.data), given.data[-3])


def _described(frame: Frame, checksum: int) -> dict[str, Any]:
    return {
        "serial": frame.serial,
        "version": f"{frame.version[0]}.{frame.version[1]}",
        "time": time_of(frame.time),
        "source": frame.source.hex(),
        "source_int": int.from_bytes(frame.source, "little"),
        "destination": frame.destination.hex(),
        "destination_int": int.from_bytes(frame.destination, "little"),
        "length": len(frame.app),
        "length_ok": True,
        "command": frame.command,
        "command_name": COMMANDS.get(frame.command),
        "checksum": checksum,
        "checksum_ok": True,
        "app": _app(frame.app),
    }


def _app(data: bytes) -> dict[str, Any] | None:
    """A good frame's data; of what does not fit, the whole objects, the rest as hex, and the reason."""
    if not data:
        return None
    facts, error = read_app(data)
    return facts if error is None else facts | {"error": error.message}
