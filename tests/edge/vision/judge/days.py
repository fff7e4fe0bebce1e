"""A camera's days as its judge sees them: quiet scores that follow the light, a slow fire, a camera that becomes noisier."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from edge.vision.judge.settings import Settings
from edge.vision.judge.watch import Event, EventKind, Watch, step
from edge.vision.observation import Observation
from edge.vision.watch.options import JudgeOptions
from tests.edge.vision.judge.observations import observed, smoke

MINUTES = 1440  # of a day: a frame each
RULES: Settings = JudgeOptions().settings(60.0)
Odds = Callable[[int], float]
"""Of the minute since the camera began, what is added to its quiet log-odds."""


def light(minute: int, bright: tuple[float, ...]) -> float:
    """At these hours it scores higher, for an hour and a half each."""
    hour = minute / 60 % 24
    return 1.6 * sum(math.exp(-(((hour - at) / 0.75) ** 2)) for at in bright)


def frames(days: float, seed: int, more: Odds = lambda _: 0.0, *, quiet: float = -3.0, weather: float = 0.3, unrest: float = 1.0, bright: tuple[float, ...] = (6.0, 18.5)) -> Iterator[Observation]:  # fmt: skip
    """One place of the picture, with light, the weather of each day, slow unrest (20 minutes) and that of each frame."""
    rng = np.random.default_rng(seed)
    slow = 0.0
    of_day = rng.normal(0, weather, math.ceil(days) + 1)
    for minute in range(round(days * MINUTES)):
        slow = 0.95 * slow + unrest * rng.normal(0, 0.35 * math.sqrt(1 - 0.95**2))
        day, part = divmod(minute / MINUTES, 1)
        turn = min(1.0, part * 4)  # the weather changes in the night
        of_now = (1 - turn) * of_day[max(0, int(day) - 1)] + turn * of_day[int(day)]
        odds = (
            quiet
            + light(minute, bright)
            + of_now
            + slow
            + unrest * rng.normal(0, 0.3)
            + more(minute)
        )
        size = 40 + rng.normal(0, 1)
        yield observed(minute, smoke(1 / (1 + math.exp(-odds)), size=size))


def alarms(seen: Iterator[Observation], rules: Settings = RULES) -> list[Event]:
    """All that one camera raises."""
    watch, told = Watch(), list[Event]()
    for frame in seen:
        watch, events = step(watch, frame, rules)
        told += [e for e in events if e.kind is EventKind.ALARM]
    return told


def fire(at_minute: int, an_hour: float, most: float = 8.0) -> Odds:
    """Log-odds that rise from `at_minute` on."""
    return lambda minute: min(most, max(0.0, (minute - at_minute) / 60 * an_hour))
