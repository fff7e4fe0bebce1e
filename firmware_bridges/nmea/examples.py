"""NMEA 0183 sentences: for benches and fuzzing."""

from __future__ import annotations

from firmware_bridges.nmea.encode import Position, burst, checksum, frame
from firmware_bridges.nmea.lines import LineSplitter
from firmware_bridges.nmea.sentence import parse
from tocsin.sdk.codec import Examples, Feed, FrameInput

_AT_NS = 1_795_600_000_000_000_000
_OTHERS = (
    "GNZDA,142500.00,26,11,2026,00,00",
    "GPGSV,2,1,08,01,40,083,46,02,17,308,41,12,07,344,39,14,22,228,45",
    "GPGLL,2232.58310,N,11403.47900,E,142500.00,A,A",
    "GPHDT,274.07,T",
    "PGRME,3.1,M,4.2,M,5.2,M",
)


def examples() -> Examples:
    """What a receiver sends with and without a fix, and a few sentences more."""
    somewhere = Position(lat=22.5430, lon=114.0579, alt=12.3, speed=13.9, course=274.1)
    told = burst(_AT_NS, somewhere).sentences + burst(_AT_NS, None).sentences
    told += tuple(frame(body) for body in _OTHERS)
    return Examples(tuple(FrameInput(text.encode("ascii")) for text in told), _seal, (_stream,))


def _seal(given: FrameInput) -> bytes:
    start, _, _ = given.data.partition(b"*")
    return start + b"*%02X\r\n" % checksum(start[1:].decode("latin-1"))


def _stream() -> Feed:
    lines = LineSplitter()

    def feed(data: bytes) -> object:
        return [parse(line) for line in lines.feed(data)]

    return feed
