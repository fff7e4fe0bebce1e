"""SL 651 frames: for benches and fuzzing."""

from __future__ import annotations

from datetime import UTC

from firmware_bridges.modbus.crc import crc16
from firmware_bridges.parts import Parts
from firmware_bridges.sl651.body import parse
from firmware_bridges.sl651.frames import STX, SYN, Frame, encode_frame
from firmware_bridges.sl651.samples import Plan
from firmware_bridges.sl651.splitter import Splitter
from tocsin.sdk import DeviceSpec
from tocsin.sdk.codec import Examples, Feed, FrameInput

_HEAD = bytes.fromhex("0001 261124123005 f1f1 0012345678 48 f0f0 2611241230")
_BODIES = (
    _HEAD + bytes.fromhex("2019 000005 2619 000125 3923 00012345 3812 1234"),
    _HEAD
    + b"\xf4\x60"
    + bytes(12)
    + b"\xf5\xc0"
    + bytes.fromhex("1234") * 12
    + b"\x45\x20"
    + bytes(4),
    _HEAD + bytes.fromhex("0418 000005 ff03 2000000012") + "文本".encode("gb18030"),
    bytes.fromhex("0002 261124123010"),
)
_STATION = "0012345678"


def examples() -> Examples:
    """Reports of a station, a picture in parts, and the centre's answers."""
    frames = [_frame(body, function) for body in _BODIES for function in (0x32, 0x34, 0x2F)]
    frames += [
        Frame(True, "01", _STATION, b"\x12\x34", 0x36, SYN, 0x17, _HEAD + bytes(200), part, 3)
        for part in (1, 2, 3)
    ]
    frames.append(_frame(_BODIES[3], 0x32, up=False))
    return Examples(tuple(FrameInput(encode_frame(frame)) for frame in frames), _seal, (_stream,))


def _frame(body: bytes, function: int, *, up: bool = True) -> Frame:
    return Frame(up, "01", _STATION, b"\x12\x34", function, STX, 0x03 if up else 0x04, body)


def _stream() -> Feed:
    splitter, parts, plan = Splitter(), Parts(), Plan()
    spec = DeviceSpec("river-01", "water", plan.channels)
    fed = 0

    def feed(data: bytes) -> object:
        nonlocal fed
        fed += 1
        bodies = []
        for item in splitter.feed(data):
            if isinstance(item, tuple):
                frame, body = item[0], [item[0].body]
                if frame.parts is not None and frame.part is not None:
                    key = (frame.station, frame.function)
                    body = parts.feed(key, frame.parts, frame.part, frame.body, fed * 10**9) or []
                bodies.append(b"".join(body))
        told = [plan.rows(spec, parse(body), fed, UTC) for body in bodies]
        return told, parts.missing(fed * 10**9)

    return feed


def _seal(given: FrameInput) -> bytes:
    data = given.data
    if len(data) < 17:
        return data
    length = len(data) - 17 & 0xFFF | (data[11] & 0x80) << 8
    body = b"\x7e\x7e" + data[2:11] + length.to_bytes(2, "big") + data[13:-2]
    return body + crc16(body).to_bytes(2, "big")
