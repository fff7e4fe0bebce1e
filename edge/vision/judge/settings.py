"""How the observations of one camera are judged."""

from __future__ import annotations

import msgspec

from edge.vision.judge.calibration import Limits

SMOKE_START = 0.75  # haze and low sun score 0.6 to 0.7 at cameras that nobody knows yet; flames and heat in degrees do not need it


class Mask(msgspec.Struct, frozen=True):
    """Where nothing counts: a polygon, in shares of the picture's width and height from its top left."""

    points: tuple[tuple[float, float], ...]
    labels: tuple[str, ...] = ()  # only these classes; none named: all


class Settings(msgspec.Struct, frozen=True):
    """Defaults are for a picture every few seconds up to one a minute."""

    k: int = 3  # an alarm needs so many
    n: int = 5  # of the last so many judged frames
    close_after: int = 5  # judged frames without it end an alarm
    hold_at_start: int = (
        8  # the first judged frames of a camera raise no alarm: they tell what it looks like
    )
    hold_after_move: int = 3  # judged frames after a movement without any alarm
    most_moves: int = 4  # so many movements in quick succession hold alarms; one that shakes on is judged as it is
    hysteresis: float = 0.8  # an open alarm goes on at so much of its threshold
    grow: float = 0.5  # boxes are linked when they overlap once grown by this share of their size
    widest: float = 0.9  # a box over more of the picture's width and height is weather, unless it grew from something smaller
    second_sign: bool = True  # an alarm needs more than persistence: growth, rising, agreement ...
    labels: tuple[str, ...] = ()  # classes that alarm; none named: all that the model has
    masks: tuple[Mask, ...] = ()
    limits: Limits = Limits()
    by_label: dict[str, Limits] = {}  # classes with limits of their own

    def limits_of(self, label: str) -> Limits:
        """Of one class."""
        return self.by_label.get(label, self.limits)

    def watches(self, label: str) -> bool:
        """Whether this class alarms."""
        return not self.labels or label in self.labels
