"""Rows of a rule pack: one limit, interval or duty each, with where it is written."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Topic(StrEnum):
    """What a row is about. Stable."""

    GAS = "gas"  # a value must be between `low` and `high`
    ALARM = "alarm"  # a value beyond `high` (or below `low`) suspends at once
    INTERVAL = "interval"  # something is older than `interval_s`
    DUTY = "duty"  # something must be done, or must not


class RuleRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """`low` and `high` are allowed values themselves (`exclusive`: they are not); `unit` by UCUM, mass per volume at the pack's reference temperature."""

    id: str
    topic: Topic
    citation: str
    text_zh: str
    text_en: str
    verified: bool = False  # checked against the full text of what is cited
    quantity: str = ""
    low: float | None = None
    high: float | None = None
    exclusive: bool = False
    unit: str = ""
    interval_s: float | None = None

    def allows(self, value: float) -> bool:
        """Whether `value`, in the row's unit, is within the limits."""
        if self.exclusive:
            return (self.low is None or value > self.low) and (
                self.high is None or value < self.high
            )
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Rules(msgspec.Struct, frozen=True):
    """One pack. `version` is the SHA-256 of its canonical form, hex; `reference_c` the temperature of mg/m3."""

    name: str
    version: str
    reference_c: float
    rows: tuple[RuleRow, ...]

    def row(self, id: str) -> RuleRow | None:  # noqa: A002 - the field's own name
        """The row of that id."""
        return next((row for row in self.rows if row.id == id), None)

    def interval_s(self, id: str) -> float | None:  # noqa: A002 - the field's own name
        """The interval of a row, None where the pack has no such row."""
        row = self.row(id)
        return row.interval_s if row else None

    def of(self, topic: Topic, quantity: str = "") -> tuple[RuleRow, ...]:
        """The rows of a topic, of one quantity where one is named."""
        return tuple(
            row for row in self.rows if row.topic is topic and quantity in ("", row.quantity)
        )
