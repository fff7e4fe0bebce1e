"""How long what is kept: `[store.retention]` of cloud.toml, and what it says of one measurement. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

STEPS_S = {"1m": 60, "1h": 3600}  # suffix of a down-sample's table -> length of its bins
# Kept for ever unless named: what happened is asked for long after what was measured.
DELETED = "deleted_by_policy"  # the table that tells what went
APART = ("event", "gap")

Days = Annotated[int, Field(ge=1, le=100_000)]


class MeasurementRetention(BaseModel):
    """What one measurement keeps; keys left out are those of `[store.retention]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw_days: Days | Literal["forever"] | None = Field(
        default=None, description="rows as they came are kept so many days"
    )
    minute_days: Days | Literal["forever", "none"] | None = Field(
        default=None, description="1-minute bins (table `<measurement>_1m`) are kept so many days"
    )
    hour_days: Days | Literal["forever", "none"] | None = Field(
        default=None, description="1-hour bins (table `<measurement>_1h`) are kept so many days"
    )


class Retention(BaseModel):
    """How long the embedded store keeps rows and their down-samples; nothing is deleted unless a number says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw_days: Days | Literal["forever"] = Field(
        default="forever", description="rows as they came are kept so many days"
    )
    minute_days: Days | Literal["forever", "none"] = Field(
        default="none",
        description="1-minute bins (table `<measurement>_1m`) are kept so many days; none: not made",
    )
    hour_days: Days | Literal["forever", "none"] = Field(
        default="none",
        description="1-hour bins (table `<measurement>_1h`) are kept so many days; none: not made",
    )
    measurements: dict[str, MeasurementRetention] = Field(
        default={},
        description="a policy for one measurement; `event` and `gap` have only what is said here, else they are kept for ever",
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """Days; None is for ever. `samples`: suffix -> days, of those that are made."""

    raw_days: int | None
    samples: dict[str, int | None]

    def is_raw_over(self, end_ns: int, now_ns: int) -> bool:
        """Whether rows of a day that ended at `end_ns` may go."""
        return _is_over(self.raw_days, end_ns, now_ns)

    def is_sample_over(self, suffix: str, end_ns: int, now_ns: int) -> bool:
        """Whether bins of that day may go."""
        return suffix in self.samples and _is_over(self.samples[suffix], end_ns, now_ns)


def rule_of(retention: Retention, measurement: str) -> Rule:
    """What holds for `measurement`."""
    own = retention.measurements.get(measurement) or MeasurementRetention()
    general = Retention() if measurement in APART else retention
    raw = own.raw_days or general.raw_days
    told = {
        "1m": own.minute_days or general.minute_days,
        "1h": own.hour_days or general.hour_days,
    }
    samples = {
        suffix: days if isinstance(days, int) else None
        for suffix, days in told.items()
        if days != "none"
    }
    return Rule(raw if isinstance(raw, int) else None, samples)


def short_bins(retention: Retention, measurement: str) -> list[tuple[str, int, int]]:
    """(key, its days, days of the rows) of bins that would go before their rows; "" is every other measurement."""
    rule = rule_of(retention, measurement)
    keys = {"1m": "minute_days", "1h": "hour_days"}
    return [
        (keys[suffix], days, rule.raw_days)
        for suffix, days in rule.samples.items()
        if days is not None and rule.raw_days is not None and days < rule.raw_days
    ]


def shortest_raw_days(retention: Retention) -> int | None:
    """The least of all `raw_days`; None: for ever."""
    told = [retention.raw_days, *(own.raw_days for own in retention.measurements.values())]
    return min((days for days in told if isinstance(days, int)), default=None)


def is_sample_name(name: str) -> bool:
    """Whether a table of this name would be a down-sample."""
    return name.lower().endswith(tuple(f"_{suffix}" for suffix in STEPS_S))


def is_reserved(name: str) -> bool:
    """Whether a measurement of this name would hide a table of the store's own."""
    return is_sample_name(name) or name.lower() == DELETED


def _is_over(days: int | None, end_ns: int, now_ns: int) -> bool:
    return days is not None and end_ns + days * 86_400 * 10**9 <= now_ns
