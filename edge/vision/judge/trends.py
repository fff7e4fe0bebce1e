"""Whether a size or place grows by more than its own unrest. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from edge.vision.judge.tracks import trend

SHORT = 8  # judged frames
_ERRORS = (
    5.0  # standard errors: it is asked at every frame, and one of many must not pass by chance
)
_FREEDOM = 4  # as many frames of expected unrest are counted to those that were seen
Places = Sequence[tuple[float, float]]
"""(judged frame, value)."""


class Rule(msgspec.Struct, frozen=True):
    """What a change must be."""

    slow: float  # a frame, where frames are far apart
    least: float  # in all, where they are not
    unrest: float  # of one frame, that a box has anyway


class Trend(msgspec.Struct, frozen=True):
    """A slope, a frame, and what it had to exceed."""

    slope: float
    wanted: float

    @property
    def passed(self) -> bool:
        """Whether it did."""
        return self.slope > self.wanted


def trend_of(values: Places, rule: Rule, *, slow: bool) -> Trend:
    """Of the last eight places, and of frames that follow each other quickly of all that are remembered; the one that tells more.

    Boxes of a camera that is looked at five times a second tremble more from frame to frame than a fire grows: there the slope must be
    five of its standard errors, and the whole change worth telling.
    """
    if len(values) < 3:
        return Trend(trend(values), math.inf)
    last = values[-SHORT:]
    if slow:
        return Trend(trend(last), rule.slow)
    both = [_clear(v, rule) for v in ({len(last): last, len(values): values}).values()]
    return max(both, key=lambda t: t.slope - t.wanted)


def _clear(values: Places, rule: Rule) -> Trend:
    slope, count = trend(values), len(values)
    mean_x, mean_y = (sum(v[i] for v in values) / count for i in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in values)
    left = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in values)
    variance = (left + _FREEDOM * rule.unrest**2) / (count - 2 + _FREEDOM)
    span = values[-1][0] - values[0][0]
    return Trend(slope, max(_ERRORS * math.sqrt(variance / spread), rule.least / span))
