"""Logs of GNSS receivers, through the same epoch merger as live lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge.drivers.replay.record import Count, Record, bad_file
from firmware_bridges.nmea.epoch import EpochMerger, Fix
from firmware_bridges.nmea.lines import LineSplitter
from firmware_bridges.nmea.samples import CHANNELS, sample, vehicle
from tocsin.sdk import SourceWindow

_CHUNK = 65_536
_SPEC = vehicle("log", "vehicle", period_s=None, window=SourceWindow(None), model="")


class NmeaRecording:
    """Each fix is one record; a fix without a position is a record too."""

    channels = CHANNELS

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self, count: Count) -> Iterator[Record]:
        merger, splitter = EpochMerger(), LineSplitter()
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    for line in splitter.feed(chunk):
                        yield from _records(merger.feed(line, 0))
        except OSError as exc:
            raise bad_file(self._path, exc) from exc
        yield from _records(merger.feed(splitter.rest(), 0))
        yield from _records(merger.flush())
        for name, n in merger.counts.items():
            count(f"nmea.{name}", n)


def _records(fix: Fix | None) -> Iterator[Record]:
    if fix is not None:
        made = sample(_SPEC, fix)
        yield Record(made.source_ns, made.values, made.quality)
