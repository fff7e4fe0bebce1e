"""DL/T 645 frames: for benches and fuzzing."""

from __future__ import annotations

from firmware_bridges.dlt645.frames import Frame, encode_frame
from firmware_bridges.dlt645.splitter import Splitter
from tocsin.sdk.codec import Examples, Feed, FrameInput

_METER = "000123456789"
_ENERGY = bytes.fromhex("00000100")  # 00010000, low byte first
_VOLTAGE = bytes.fromhex("00010102")
_FRAMES = (
    Frame(_METER, 0x11, _ENERGY, 4),
    Frame(_METER, 0x91, _ENERGY + bytes.fromhex("78563412")),
    Frame(_METER, 0x11, _VOLTAGE),
    Frame(_METER, 0x91, _VOLTAGE + bytes.fromhex("0522"), 2),
    Frame(_METER, 0xB1, _ENERGY + bytes.fromhex("78563412")),
    Frame(_METER, 0xD1, b"\x02"),
    Frame("aaaaaaaaaaaa", 0x13, b""),
    Frame(_METER, 0x93, bytes.fromhex("896745230100")),
    Frame(_METER, 0x81, bytes.fromhex("1090") + bytes.fromhex("78563412")),
)


def examples() -> Examples:
    """Questions, answers, a refusal, and an answer of the 1997 edition."""
    return Examples(tuple(FrameInput(encode_frame(frame)) for frame in _FRAMES), _seal, (_stream,))


def _seal(given: FrameInput) -> bytes:
    bare = given.data.lstrip(b"\xfe")
    if len(bare) < 12:
        return given.data
    body = (
        b"\x68" + bare[1:7] + b"\x68" + bare[8:9] + bytes((min(len(bare) - 12, 255),)) + bare[10:-2]
    )
    preamble = given.data[: len(given.data) - len(bare)]
    return preamble + body + bytes((sum(body) & 0xFF, 0x16))


def _stream() -> Feed:
    splitter = Splitter()

    def feed(data: bytes) -> object:
        return list(splitter.feed(data))

    return feed
