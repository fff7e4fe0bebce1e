"""Frames of sensor boards: for benches and fuzzing."""

from __future__ import annotations

from firmware_bridges.mcu.firmware import tocsin_board as board
from firmware_bridges.mcu.messages import Splitter, decode
from tocsin.errors import CodecError
from tocsin.sdk.codec import Examples, Feed, FrameInput

_SENSORS = [
    ["h2s", "[ppm]", 0, 100],
    ["temperature", "Cel", -40.0, 85.0],
    ["door", "1", None, None],
]
_MESSAGES: tuple[dict[int, object], ...] = (
    {0: board.HELLO, 1: 1, 2: 5000, 3: "gas-node", 4: "1.2.0", 5: 77, 6: _SENSORS},
    {0: board.DATA, 1: 2, 2: 6000, 3: [1.5, 21.25, True]},
    {0: board.DATA, 1: 3, 2: 7000, 3: [None, -3, False]},
    {0: board.EVENT, 1: 4, 2: 7100, 3: "tamper", 4: "lid open"},
    {0: board.LOG, 2: 7200, 3: "sensor warming up"},
)


def examples() -> Examples:
    """One message of each kind."""
    frames = tuple(FrameInput(board.frame(message)) for message in _MESSAGES)
    return Examples(frames, _seal, (_stream,))


def _seal(given: FrameInput) -> bytes:
    try:
        body = board.cobs_decode(given.data.strip(b"\0"))[:-2]
    except ValueError:
        body = given.data
    return board.cobs_encode(body + board.crc16(body).to_bytes(2, "big")) + b"\0"


def _stream() -> Feed:
    splitter = Splitter()

    def feed(data: bytes) -> object:
        return [_one(block) for block in splitter.feed(data)]

    return feed


def _one(block: bytes) -> object:
    try:
        return decode(block)
    except CodecError as error:
        return error
