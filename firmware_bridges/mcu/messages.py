"""The host's side of the line: frames to messages and back. Pure."""

from __future__ import annotations

import io
import math
from binascii import crc_hqx  # the firmware's crc16, in C
from typing import Any, Final

import msgspec

from firmware_bridges.mcu.firmware import tocsin_board as board
from tocsin.errors import CodecError, CodecReason
from tocsin.sdk.codec import FrameInput

MAX_BLOCK: Final = board.MAX_FRAME + board.MAX_FRAME // 254 + 1
Number = int | float | bool | None


class Sensor(msgspec.Struct, frozen=True):
    """One sensor as its board describes it; `unit` is UCUM, the range in that unit."""

    name: str
    unit: str
    low: float | None
    high: float | None


class Hello(msgspec.Struct, frozen=True):
    """What a board is; `next_seq` is the number its next frame will have, `boot` differs after every start."""

    next_seq: int
    uptime_ms: int
    board: str
    firmware: str
    boot: int
    sensors: tuple[Sensor, ...]


class Data(msgspec.Struct, frozen=True):
    """One sample, values in the order of the hello's sensors."""

    seq: int
    uptime_ms: int
    values: tuple[Number, ...]


class BoardEvent(msgspec.Struct, frozen=True):
    """Something that happened once."""

    seq: int
    uptime_ms: int
    kind: str
    text: str


class Log(msgspec.Struct, frozen=True):
    """A line for the technician."""

    uptime_ms: int
    text: str


Message = Hello | Data | BoardEvent | Log


class Splitter:
    """Blocks between zero bytes; what is longer than any frame is thrown away and counted in `overlong`."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False
        self.overlong = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The blocks that `data` completes, without their zero."""
        *whole, rest = data.split(b"\x00")
        found = []
        for part in whole:
            block = bytes(self._rest + part)
            self._rest.clear()
            if self._skipping or len(block) > MAX_BLOCK:
                self.overlong += not self._skipping
                self._skipping = False
            elif block:
                found.append(block)
        self._rest += rest
        if len(self._rest) > MAX_BLOCK:
            self._rest.clear()
            self.overlong += not self._skipping
            self._skipping = True
        return found


def decode(block: bytes) -> Message:
    """The message of one block.

    Raises:
        CodecError: framing (COBS), checksum, or a map that is not a message of a board.
    """
    return _message(_content(block))


def _content(block: bytes) -> dict[Any, Any]:
    if len(block) > MAX_BLOCK:
        raise CodecError(CodecReason.OVERSIZED, f"{len(block)} bytes, at most {MAX_BLOCK}")
    try:
        body = board.cobs_decode(block)
    except ValueError as exc:
        at = int(exc.args[0])
        raise CodecError(CodecReason.FRAMING, "the COBS length points outside", offset=at) from exc
    if len(body) < 3:
        raise CodecError(CodecReason.TRUNCATED, f"{len(body)} bytes hold no message")
    told, counted = int.from_bytes(body[-2:], "big"), crc_hqx(body[:-2], 0xFFFF)
    if told != counted:
        text = f"CRC-16 is {told:04x}, counted {counted:04x}"
        raise CodecError(CodecReason.CHECKSUM, text, offset=len(body) - 2)
    return _map(body[:-2])


def _map(body: bytes) -> dict[Any, Any]:
    import cbor2

    stream = io.BytesIO(body)
    try:
        value = cbor2.CBORDecoder(stream, max_depth=8).decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise CodecError(CodecReason.BAD_FIELD, f"not CBOR: {exc}", offset=stream.tell()) from exc
    if not isinstance(value, dict) or stream.tell() != len(body):
        raise CodecError(CodecReason.BAD_FIELD, "not one CBOR map", offset=0)
    return value


def _message(m: dict[Any, Any]) -> Message:
    kind = m.get(0)
    if kind == board.HELLO:
        sensors = tuple(_sensor(s) for s in _list(m, 6))
        return Hello(_count(m, 1), _count(m, 2), _text(m, 3), _text(m, 4), _count(m, 5), sensors)
    if kind == board.DATA:
        return Data(_count(m, 1), _count(m, 2), tuple(_number(v) for v in _list(m, 3)))
    if kind == board.EVENT:
        return BoardEvent(_count(m, 1), _count(m, 2), _text(m, 3), _text(m, 4))
    if kind == board.LOG:
        return Log(_count(m, 2), _text(m, 3))
    raise CodecError(CodecReason.UNSUPPORTED, f"message type {kind!r:.40}")


def _bad(key: int, what: str) -> CodecError:
    return CodecError(CodecReason.BAD_FIELD, f"key {key}: {what}")


def _count(m: dict[Any, Any], key: int) -> int:
    return _whole(m.get(key), key)


def _whole(value: object, key: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise _bad(key, "not a whole number from 0")
    return value


def _text(m: dict[Any, Any], key: int) -> str:
    value = m.get(key)
    if not isinstance(value, str):
        raise _bad(key, "not a text")
    return value


def _list(m: dict[Any, Any], key: int) -> list[Any]:
    value = m.get(key)
    if not isinstance(value, list) or len(value) > 64:
        raise _bad(key, "not a list of at most 64")
    return value


def _number(value: object) -> Number:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    raise _bad(3, "not a number")


def _sensor(value: object) -> Sensor:
    if not isinstance(value, list) or len(value) != 4:
        raise _bad(6, "a sensor is [name, unit, lowest, highest]")
    name, unit, low, high = value
    if not isinstance(name, str) or not isinstance(unit, str):
        raise _bad(6, "name and unit are texts")
    return Sensor(name, unit, _limit(low), _limit(high))


def _limit(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 else None


def who() -> bytes:
    """Asks the board for its hello. The leading zero ends whatever half a frame the line holds."""
    return b"\x00" + board.frame({0: board.WHO})


def ack(seqs: list[int]) -> bytes:
    """Tells the board that these frames are durable; at most 32 in one."""
    return b"".join(
        board.frame({0: board.ACK, 3: seqs[i : i + 32]}) for i in range(0, len(seqs), 32)
    )


def time(unix_ms: int) -> bytes:
    """Tells the board what time it is."""
    return board.frame({0: board.TIME, 3: unix_ms})


def describe(line: FrameInput) -> dict[str, Any]:
    """One block of either side, with or without its zero, for `tocsin decode mcu`."""
    content = _content(line.data.strip(b"\x00"))
    match content.get(0):
        case board.WHO:
            return {"message": "who"}
        case board.ACK:
            return {"message": "ack", "seqs": [_whole(seq, 3) for seq in _list(content, 3)]}
        case board.TIME:
            return {"message": "time", "unix_ms": _count(content, 3)}
    message = _message(content)
    told = msgspec.to_builtins(message)
    assert isinstance(told, dict)  # noqa: S101 - a Struct's builtins are a dict
    return {"message": type(message).__name__.removeprefix("Board").lower(), **told}
