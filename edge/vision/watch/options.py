"""`[judge]` of a camera, and the same as options of a command."""

from __future__ import annotations

from typing import Self

import msgspec
from pydantic import Field, model_validator

from edge.vision.judge.calibration import Limits
from edge.vision.judge.settings import SMOKE_START, Mask, Settings
from edge.vision.judge.verdict import strong
from tocsin.config import Mistake, MistakesError, Section

_FAST, _SLOW, _SLOW_S = (3, 5), (2, 4), 20.0  # k of n; seldom frames are worth more each
MOST_FRAMES = 60  # the judge remembers a few more of a track


class MaskOptions(Section):
    """Where nothing counts."""

    points: tuple[tuple[float, float], ...] = Field(
        min_length=3,
        max_length=100,
        description="Corners of a polygon, [x, y] as shares of the picture's width and height, from its top left.",
    )
    labels: tuple[str, ...] = Field(
        default=(), description="Only for these classes; default: for all."
    )


class JudgeOptions(Section):
    """When what a camera shows is an alarm."""

    k: int | None = Field(
        default=None,
        ge=1,
        le=MOST_FRAMES,
        description="An alarm needs so many frames (default 3; 2 where they are 20 s or more apart).",
    )
    n: int | None = Field(
        default=None,
        ge=1,
        le=MOST_FRAMES,
        description="Of the last so many that could be judged (default 5; 4 where they are 20 s or more apart; at least k).",
    )
    close_after: int = Field(
        default=5, ge=1, le=MOST_FRAMES, description="Frames without it that end an alarm."
    )
    hold_at_start: int = Field(
        default=8,
        ge=0,
        le=1000,
        description="A new camera's first frames, which raise no alarm: they tell what it looks like.",
    )
    hold_after_move: int = Field(
        default=3, ge=0, le=1000, description="Frames without alarms after the camera moved."
    )
    hysteresis: float = Field(
        default=0.8, gt=0, le=1, description="An open alarm goes on at so much of its threshold."
    )
    second_sign: bool = Field(
        default=True,
        description="An alarm needs more than persistence: growth, rising, a strong score, a long time, flicker, or another camera.",
    )
    alarms_per_week: float = Field(
        default=1.0, gt=0, le=10_000, description="False alarms that each class may give here."
    )
    floor: float = Field(default=0.35, ge=0.01, le=0.99, description="No threshold is below this.")
    start: float = Field(
        default=0.6,
        ge=0.01,
        le=0.99,
        description="Least threshold until the camera was seen for a day: night teaches nothing about dawn. Of the class smoke 0.75 unless told.",
    )
    half_life_days: float = Field(
        default=7.0, ge=0.1, le=365, description="What was learned counts half after so long."
    )
    labels: tuple[str, ...] = Field(
        default=(), description="Classes that alarm; default: all of the model."
    )
    masks: tuple[MaskOptions, ...] = Field(
        default=(), max_length=50, description="Where nothing counts."
    )

    @model_validator(mode="after")
    def _k_of_n(self) -> Self:
        if self.k is not None and self.n is not None and self.k > self.n:
            raise MistakesError([Mistake(("k",), f"at most n, which is {self.n}")])
        return self

    def settings(self, apart_s: float) -> Settings:
        """As the rules take them, for frames that are looked at so far apart."""
        k, n = _SLOW if apart_s >= _SLOW_S else _FAST
        k = self.k or (k if self.n is None else min(k, self.n))
        n = self.n or max(k, n)
        limits = Limits(
            per_week=self.alarms_per_week,
            floor=self.floor,
            start=self.start,
            half_life_s=self.half_life_days * 86_400,
        )
        smoke = self.start if "start" in self.model_fields_set else SMOKE_START
        return Settings(
            k=k,
            n=n,
            close_after=self.close_after,
            hold_at_start=self.hold_at_start,
            hold_after_move=self.hold_after_move,
            hysteresis=self.hysteresis,
            second_sign=self.second_sign,
            labels=self.labels,
            masks=tuple(Mask(m.points, m.labels) for m in self.masks),
            limits=limits,
            by_label={
                "smoke": msgspec.structs.replace(limits, start=smoke, unsettled=strong(smoke))
            },
        )
