"""Whether what burns became much larger since it was told. Pure."""

from __future__ import annotations

import msgspec

from edge.vision.judge.settings import Settings
from edge.vision.judge.tracks import Track

TIMES, APART_NS = 2.0, 60_000_000_000
"""An open alarm is told again once it is so many times as large as it was told, and not before so long."""


def larger(track: Track, ts_ns: int, settings: Settings) -> tuple[Track, float]:
    """How many times its area is what it was at its alarm, in k of the last n frames; 0: there is nothing to tell."""
    if not track.open or track.lost:
        return track, 0.0
    area = track.area(settings.k, settings.n)
    if area <= 0:
        return track, 0.0
    if track.told_area <= 0:  # what is told of it is its newest frame
        first = max(area, track.sightings[-1].area)
        return msgspec.structs.replace(track, first_area=first, told_area=first, told_ns=ts_ns), 0.0
    soon = abs(ts_ns - track.told_ns) < APART_NS  # the clock may be set back
    if soon or area < TIMES * track.told_area:
        return track, 0.0
    told = msgspec.structs.replace(track, told_area=area, told_ns=ts_ns)
    return told, area / track.first_area


def moved(track: Track) -> Track:
    """The camera turned or zoomed: it is somewhere else, of another size."""
    unsized = tuple(msgspec.structs.replace(s, area=0.0) for s in track.sightings)
    return msgspec.structs.replace(
        track, lost=True, sightings=unsized, first_area=0.0, told_area=0.0
    )
