"""HJ 212 frames: for benches and fuzzing."""

from __future__ import annotations

from datetime import UTC

from firmware_bridges.hj212.frames import encode_frame
from firmware_bridges.hj212.samples import Plan
from firmware_bridges.hj212.segment import joined, parameters_of, parse
from firmware_bridges.hj212.splitter import Splitter
from firmware_bridges.parts import Parts
from tocsin.sdk import DeviceSpec
from tocsin.sdk.codec import Examples, Feed, FrameInput

_HEAD = b"QN=20261124120000001;ST=22;CN=%d;PW=123456;MN=010000A8900016F000169DC0;Flag=%d;CP=&&%b&&"
_SEGMENTS = (
    _HEAD
    % (
        2011,
        5,
        b"DataTime=20261124120000;a21026-Rtd=1.5,a21026-Flag=N;a34004-Rtd=12.1,a34004-Flag=D",
    ),
    _HEAD
    % (
        2061,
        5,
        b"DataTime=20261124120000;a21026-Cou=1.1,a21026-Min=0.5,a21026-Avg=0.8,a21026-Max=1.9",
    ),
    _HEAD % (9011, 4, b"QnRtn=1"),
    _HEAD % (9014, 4, b""),
    b"ST=22;CN=2031;PW=123456;MN=A1;Flag=7;PNUM=2;PNO=1;CP=&&DataTime=20261124000000&&",
)


def examples() -> Examples:
    """Real-time and hourly values, answers, one part of several."""
    return Examples(
        tuple(FrameInput(encode_frame(segment)) for segment in _SEGMENTS), _seal, (_stream,)
    )


def _stream() -> Feed:
    splitter, parts, plan = Splitter(), Parts(), Plan("air")
    spec = DeviceSpec("air-01", "air", plan.channels)
    fed = 0

    def feed(data: bytes) -> object:
        nonlocal fed
        fed += 1
        told = []
        for item in splitter.feed(data):
            if isinstance(item, tuple):
                segment = parse(item[0].segment)
                told.append(plan.rows(spec, segment, fed, UTC))
                if segment.part is not None:
                    number, count = segment.part
                    inside = parameters_of(item[0].segment)
                    whole = parts.feed(segment.qn, count, number, inside, fed * 10**9)
                    told.append(plan.rows(spec, parse(joined(whole or [])), fed, UTC))
        return told, parts.missing(fed * 10**9)

    return feed


def _seal(given: FrameInput) -> bytes:
    return encode_frame(given.data[6:-6][:9999])
