"""Quality of one value, as the small integer that travels and is stored beside it as `<quantity>_q`.

0 is good, 1-63 uncertain, 64-127 bad. A bad value is kept, never replaced: quality is a field of its own
(compare OPC UA Part 8, 7.1 StatusCode: good, uncertain, bad).
"""

from __future__ import annotations

from enum import IntEnum


class Quality(IntEnum):
    """Stable codes; new ones are only added."""

    GOOD = 0
    UNCERTAIN = 1
    UNKNOWN_CODE = 2  # the sender used a code this receiver does not know
    RATE = 3  # changed faster than the sensor can
    FLATLINE = 4  # has not moved for longer than the sensor ever rests
    STALE = 5  # the device repeats an old measurement
    SOURCE_TIME = 6  # the source's own clock is implausible; gateway or cloud time was used
    CLOCK_UNSET = 7  # taken before the gateway knew the time
    WARM_UP = 8
    CALIBRATION_DUE = 9
    SUBSTITUTED = 10
    ESTIMATED = 11
    SATURATED = 12  # 4-20 mA loop between 3.8 and 3.6 or 20.5 and 21 mA (NAMUR NE 43)
    JUMP = 13  # position moved farther than the vehicle can
    NO_FIX = 14  # receiver reports a value without a valid fix

    BAD = 64
    RANGE = 65  # outside what the instrument can measure
    COMMS = 66  # the device did not answer; the value is absent
    DEVICE_FAULT = 67  # the device itself reports a fault
    SENSOR_FAULT = 68  # 4-20 mA loop at or below 3.6 or at or above 21 mA (NAMUR NE 43)
    MISSING = 69  # the source marks the value as missing
    NOT_FINITE = 70  # NaN or infinity


class Severity(IntEnum):
    """The three classes every consumer must tell apart."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


_KNOWN = frozenset(int(q) for q in Quality)


def severity(code: int) -> Severity:
    """Class of a quality code; codes outside 0..127 are bad."""
    if code == 0:
        return Severity.GOOD
    return Severity.UNCERTAIN if 0 < code < 64 else Severity.BAD


def tolerant(code: int) -> int:
    """A code from the wire: unknown ones keep their class but become UNKNOWN_CODE or BAD."""
    if code in _KNOWN:
        return code
    return int(Quality.UNKNOWN_CODE if severity(code) is Severity.UNCERTAIN else Quality.BAD)


def worst(a: int, b: int) -> int:
    """The more serious of two codes; the first one on a tie of class."""
    return b if severity(b) > severity(a) else a
