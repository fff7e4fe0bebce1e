"""Sentences of one time stamp to one fix. Pure: no I/O, no clock; the caller says when each line came."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, timedelta

import msgspec

from firmware_bridges.nmea.rules import ONCE, RULES, TIMED, Epoch, Memory, time_us
from firmware_bridges.nmea.sentence import NotASentence, Sentence, Whole, check, decode

_HALF_DAY_US = 43_200_000_000


class Fix(msgspec.Struct, frozen=True):
    """One epoch. `mode` 0 none, 2 or 3 dimensions; without a fix there is no position, altitude, speed or course.

    `at_ns` is the arrival of its first sentence; `time_ns` the receiver's own UTC, None until it told a date.
    `speed_kn` in knots, `alt` in metres above mean sea level, `course` in degrees true, `accuracy` in metres (1 sigma).
    """

    at_ns: int
    time_ns: int | None
    mode: int
    lat: float | None = None
    lon: float | None = None
    alt: float | None = None
    speed_kn: float | None = None
    course: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    accuracy: float | None = None


class EpochMerger:
    """Feed lines, get fixes. `counts` tells how many lines were of which kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._memory = Memory()
        self._open: Epoch | None = None

    def feed(self, line: bytes, at_ns: int) -> Fix | None:
        """Take one line; a fix when this line began the next epoch."""
        whole = check(line)
        if isinstance(whole, NotASentence):
            self.counts[whole.value] += 1
            return None
        if whole.type not in RULES:
            self.counts["other"] += 1
            return None
        sentence = decode(whole)
        if isinstance(sentence, NotASentence):
            self.counts[sentence.value] += 1
            return None
        self.counts["sentences"] += 1
        return self._take(whole, sentence, at_ns)

    def flush(self) -> Fix | None:
        """End the open epoch: the line fell quiet, or the file ended."""
        epoch, self._open = self._open, None
        if epoch is None:
            return None
        stamp = self._stamp(epoch)
        if epoch.forget_date:
            self._memory.forget_date()
        if not epoch.stated:
            return None
        self._memory.last_mode = epoch.mode
        fix = Fix(
            epoch.at_ns,
            stamp,
            0,
            satellites=epoch.satellites,
            hdop=epoch.hdop,
            accuracy=epoch.accuracy,
        )
        if epoch.mode < 2 or epoch.position is None:
            return fix
        return msgspec.structs.replace(
            fix,
            mode=epoch.mode,
            lat=epoch.position[0],
            lon=epoch.position[1],
            alt=epoch.alt,
            speed_kn=epoch.speed_kn,
            course=epoch.course,
        )

    def _take(self, whole: Whole, sentence: Sentence, at_ns: int) -> Fix | None:
        done = None
        name = whole.talker + whole.type
        stamp = time_us(sentence) if whole.type in TIMED else None
        epoch = self._open
        if epoch is not None:
            moved = stamp is not None and epoch.time_us is not None and stamp != epoch.time_us
            again = name in epoch.seen and whole.type in ONCE
            if moved or (again and (stamp is None or whole.type == "GGA")):
                done, epoch = self.flush(), None
        if epoch is None:
            epoch = self._open = Epoch(at_ns)
        epoch.seen.add(name)
        if epoch.time_us is None:
            epoch.time_us = stamp
        RULES[whole.type](self._memory, epoch, sentence)
        return done

    def _stamp(self, epoch: Epoch) -> int | None:
        memory = self._memory
        if epoch.date is not None:
            memory.date = epoch.date
        elif (
            memory.date is not None
            and epoch.time_us is not None
            and memory.last_us is not None
            and memory.last_us - epoch.time_us > _HALF_DAY_US
        ):
            memory.date += timedelta(days=1)  # past midnight, no sentence with a date yet
        if epoch.time_us is None:
            return None
        memory.last_us = epoch.time_us
        if memory.date is None:
            return None
        midnight = datetime.combine(memory.date, time(), UTC)
        return int(midnight.timestamp()) * 1_000_000_000 + epoch.time_us * 1_000
