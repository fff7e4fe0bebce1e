"""GB/T 26875.3 frames of every type of data: for benches and fuzzing."""

from __future__ import annotations

import struct
from typing import Any

from firmware_bridges.gb26875.app_data import LAYOUTS, encode_app
from firmware_bridges.gb26875.frames import END, HEAD, START, TAIL, Command, Frame, encode_frame
from firmware_bridges.gb26875.splitter import Splitter
from tocsin.sdk.codec import Examples, Feed, FrameInput

_TIME = "2026-11-24T12:30:05"
_TEXTS: dict[str, Any] = {
    "time": _TIME,
    "version": "1.0",
    "config": "三楼东侧",
    "description": "3号楼2层烟感",
}


def examples() -> Examples:
    """One frame for each type flag, one without data, and each type's data alone."""
    datas = [
        encode_app(kind, [{name: _TEXTS.get(name, 2) for name in layout}] * 2)
        for kind, layout in LAYOUTS.items()
    ]
    frames = [FrameInput(_frame(Command.DATA, data), "frame") for data in datas]
    frames += [FrameInput(data, "app_data") for data in datas]
    return Examples((FrameInput(_frame(Command.CONFIRM, b"")), *frames), _seal, (_stream,))


def _frame(command: Command, app: bytes) -> bytes:
    time = bytes((5, 30, 12, 24, 11, 26))
    return encode_frame(Frame(1, (1, 1), time, b"\1\2\3\4\5\6", b"\6\5\4\3\2\1", int(command), app))


def _seal(given: FrameInput) -> bytes:
    data = given.data
    if given.kind == "app_data" or len(data) < HEAD + TAIL:
        return data
    length = struct.pack("<H", min(len(data) - HEAD - TAIL, 0xFFFF))
    body = data[2 : HEAD - 3] + length + data[HEAD - 1 : -TAIL]
    return START + body + bytes((sum(body) & 0xFF,)) + END


def _stream() -> Feed:
    splitter = Splitter()

    def feed(data: bytes) -> object:
        return list(splitter.feed(data))

    return feed
