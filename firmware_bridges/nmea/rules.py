"""What each sentence type says about the epoch it belongs to.

The rules of validity follow what gpsd reports for the same lines, so that a Tocsin position and a gpsd position agree:
the last sentence that says something about the fix wins, an altitude with four satellites makes it three-dimensional,
a GGA that repeats its time stamp comes from a receiver that stands still and has no fix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, time

from firmware_bridges.nmea.sentence import Sentence

_NO_DOP = 99.0  # many receivers send 99.9 for "none"
_OLDEST_YEAR = 1980  # the GPS epoch
_LATEST_YEAR = 2199  # nanoseconds in 64 bits end in 2262


class Memory:
    """What outlives an epoch."""

    def __init__(self) -> None:
        self.date: date | None = None
        self.last_us: int | None = None
        self.last_mode = 0
        self.used = 0  # satellites the last GSA sentences named
        self.gsa_talkers: set[str] = set()
        self.gga_times: dict[str, int] = {}
        self.stuck = False

    def forget_date(self) -> None:
        """The receiver says that it does not know the time."""
        self.date, self.last_us = None, None


class Epoch:
    """What the sentences of the open epoch said so far."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns
        self.seen: set[str] = set()
        self.stated = False  # whether any sentence said fix or no fix
        self.counted = False  # whether a GSA of this epoch named satellites
        self.forget_date = False
        self.time_us: int | None = None
        self.date: date | None = None
        self.mode = 0
        self.position: tuple[float, float] | None = None
        self.alt: float | None = None
        self.speed_kn: float | None = None
        self.course: float | None = None
        self.satellites: int | None = None
        self.hdop: float | None = None
        self.accuracy: float | None = None


def time_us(sentence: Sentence) -> int | None:
    """Time of day (UTC) in microseconds."""
    told = sentence.raw("time")
    if not isinstance(told, time):
        return None
    return ((told.hour * 60 + told.minute) * 60 + told.second) * 1_000_000 + told.microsecond


def rmc(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Recommended minimum: the only sentence but ZDA whose date counts, and only while it is valid."""
    epoch.stated = True
    stamp, told = time_us(s), s.raw("date")
    if s.letter("status") not in ("A", "D"):
        epoch.mode = 0
        if stamp is None or told is None:
            _lost_clock(memory, epoch)
        return
    if isinstance(told, date) and stamp is not None:
        epoch.date = told if told.year >= _OLDEST_YEAR else told.replace(year=told.year + 100)
    epoch.speed_kn = _or(s.number("spd"), epoch.speed_kn)
    epoch.course = _or(s.number("cog"), epoch.course)
    position = s.position()
    if position is None:
        epoch.mode = 0
        return
    epoch.position = position
    full = memory.last_mode == 3 or memory.used > 3 or epoch.alt is not None
    epoch.mode = 3 if full else 2


def gga(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Fix data; quality 0 is no fix, and so are fewer than three satellites."""
    epoch.stated = True
    stamp = time_us(s)
    memory.stuck = stamp is not None and memory.gga_times.get(s.talker) == stamp
    if stamp is None:
        _lost_clock(memory, epoch)
    else:
        memory.gga_times[s.talker] = stamp
    used = _satellites(epoch, s)
    position = s.position()
    if position is None or (s.number("quality") or 0) < 1:
        epoch.mode = 0
        return
    epoch.position = position
    epoch.alt = _or(s.number("alt"), epoch.alt)
    if used < 3 or memory.stuck:
        epoch.mode = 0
    else:
        epoch.mode = 3 if epoch.alt is not None and used > 3 else 2


def gns(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Fix data of a receiver with several systems; one letter per system, N = not valid."""
    del memory
    modes = s.raw("posMode")
    if not isinstance(modes, str) or set(modes.upper()) <= {"N"}:
        epoch.stated = True
        epoch.mode = 0
        return
    if s.letter("navStatus") in ("U", "V"):
        return
    epoch.stated = True
    used = _satellites(epoch, s)
    position = s.position()
    if position is None:
        epoch.mode = 0
        return
    epoch.position = position
    epoch.alt = _or(s.number("alt"), epoch.alt)
    epoch.mode = 3 if epoch.alt is not None and used > 3 else 2


def gll(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Position and time; never makes a fix worse that another sentence called three-dimensional."""
    epoch.stated = True
    position = s.position()
    if s.letter("status") != "A" or s.letter("posMode") == "N" or position is None:
        epoch.mode = 0
        return
    epoch.position = position
    if epoch.alt is not None or memory.used > 3 or memory.last_mode == 3:
        epoch.mode = 3
    elif epoch.mode < 2:
        epoch.mode = 2


def gsa(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Mode and satellites used; one sentence per system, sent in turn."""
    if len(s.fields) < 17 or memory.stuck:
        return
    if not epoch.counted:
        memory.used, epoch.counted = 0, True
    memory.used += sum(field.isdigit() and int(field) > 0 for field in s.fields[2:14])
    memory.gsa_talkers.add(s.talker)
    _hdop(epoch, s)
    mode = s.number("navMode")
    if mode is None or (s.talker == "GP" and len(memory.gsa_talkers) > 1):
        return  # a receiver that also sends GN, GL, BD... says the joint mode there
    epoch.stated = True
    epoch.mode = int(mode) if mode in (2, 3) else 0


def vtg(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Course and speed, for what RMC left empty."""
    del memory
    if s.letter("posMode") in ("N", "E"):
        return
    epoch.speed_kn = _or(epoch.speed_kn, s.number("sogn"))
    epoch.course = _or(epoch.course, s.number("cogt"))


def zda(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Time and date with a four-digit year."""
    del memory
    day, month, year = s.number("day"), s.number("month"), s.number("year")
    if time_us(s) is None or day is None or month is None or year is None:
        return
    try:
        told = date(int(year), int(month), int(day))
    except ValueError:
        return
    if _OLDEST_YEAR <= told.year <= _LATEST_YEAR:
        epoch.date = told


def gst(memory: Memory, epoch: Epoch, s: Sentence) -> None:
    """Pseudorange noise: the horizontal error, one sigma."""
    del memory
    lat_m, lon_m = s.number("stdLat"), s.number("stdLong")
    if lat_m is not None and lon_m is not None:
        epoch.accuracy = math.hypot(lat_m, lon_m)


def _lost_clock(memory: Memory, epoch: Epoch) -> None:
    if epoch.time_us is None:
        memory.forget_date()
    else:
        epoch.forget_date = True  # this epoch's own time was told before


def _satellites(epoch: Epoch, s: Sentence) -> int:
    used = int(s.number("numSV") or 0)
    epoch.satellites = max(used, epoch.satellites or 0)
    _hdop(epoch, s)
    return used


def _hdop(epoch: Epoch, s: Sentence) -> None:
    hdop = s.number("HDOP")
    if hdop is not None and hdop < _NO_DOP:
        epoch.hdop = hdop


def _or(first: float | None, second: float | None) -> float | None:
    return second if first is None else first


RULES: dict[str, Callable[[Memory, Epoch, Sentence], None]] = {
    "RMC": rmc,
    "GGA": gga,
    "GNS": gns,
    "GLL": gll,
    "GSA": gsa,
    "VTG": vtg,
    "ZDA": zda,
    "GST": gst,
}
TIMED = frozenset(
    {"RMC", "GGA", "GNS", "GLL", "ZDA"}
)  # a different time in one of these ends the epoch
ONCE = frozenset({"RMC", "GGA", "GNS", "GLL"})  # without a time, the same one again ends it
