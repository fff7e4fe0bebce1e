"""Reports of gpsd, a line each: for fuzzing."""

from __future__ import annotations

import json

from firmware_bridges.gpsd.reports import CHANNELS, MAX_LINE, Sky, decode_report, heard, sample
from firmware_bridges.nmea.lines import LineSplitter
from tocsin.sdk import DeviceSpec
from tocsin.sdk.codec import Examples, Feed, FrameInput

_SPEC = DeviceSpec("truck", "vehicle", CHANNELS)
_REPORTS: tuple[dict[str, object], ...] = (
    {
        "class": "TPV", "device": "/dev/ttyS0", "mode": 3, "time": "2026-11-24T12:30:05.250Z", "lat": 22.543,
        "lon": 114.0579, "altMSL": 12.3, "speed": 13.9, "track": 274.1,
    },
    {"class": "TPV", "mode": 1},
    {"class": "SKY", "hdop": 0.9, "satellites": [{"PRN": 5, "used": True}, {"PRN": 7, "used": False}]},
    {"class": "SKY", "uSat": 11, "hdop": 99.0},
    {"class": "GST", "lat": 1.5, "lon": 2.0},
)  # fmt: skip


def examples() -> Examples:
    """Positions with and without a fix, satellites, errors."""
    lines = (json.dumps(report).encode() + b"\n" for report in _REPORTS)
    return Examples(tuple(map(FrameInput, lines)), None, (_stream,))


def _stream() -> Feed:
    lines, sky = LineSplitter(MAX_LINE), Sky()

    def feed(data: bytes) -> object:
        nonlocal sky
        found = []
        for line in lines.feed(data):
            report = decode_report(line)
            if report["class"] in ("SKY", "GST"):
                sky = heard(sky, report)
            found.append(sample(_SPEC, report, sky, 0))
        return found

    return feed
