"""Whether a gas value is within the rules, in whatever unit it was shown."""

from __future__ import annotations

import math

from tocsin.permits.concentration import convert
from tocsin.permits.context import Instrument
from tocsin.permits.intervals import BUMP, CALIBRATION, NS, seconds
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.rule_rows import RuleRow, Rules, Topic


def beyond(
    rules: Rules, topic: Topic, quantity: str, value: float, unit: str, depth: str = ""
) -> Refused | None:
    """Why a value is not allowed: beyond a row, or no row that speaks of it in a unit it converts to."""
    judged = False
    for row in rules.of(topic, quantity):
        converted = convert(quantity, value, unit, row.unit, rules.reference_c)
        if converted is None:
            continue
        judged = True
        if not math.isfinite(converted.value) or not row.allows(converted.value):
            limit = _limit(row, converted.value, unit, rules.reference_c)
            args = {"quantity": quantity, "value": value, "unit": unit, "depth": depth}
            return refused(Why.LIMIT_EXCEEDED, row, limit=limit, **args)
    return None if judged else refused(Why.LIMIT_UNKNOWN, quantity=quantity, unit=unit)


def _limit(row: RuleRow, value: float, unit: str, reference_c: float) -> str:
    """The bound of a row that `value` (in the row's unit) is beyond, in the unit that was measured in."""
    low = row.low is not None and (row.high is None or value <= row.low)
    bound = row.low if low else row.high
    found = None if bound is None else convert(row.quantity, bound, row.unit, unit, reference_c)
    return "?" if found is None else f"{found.value:.3g}"


def in_order(instrument: Instrument, rules: Rules, now_ns: int) -> Refused | None:
    """Calibrated and bump-tested recently enough."""
    limit_s, row = seconds(rules, CALIBRATION)
    lapsed = now_ns - instrument.calibrated_ns > limit_s * NS
    if lapsed or 0 < instrument.calibrated_until_ns <= now_ns or not instrument.calibrated_ns:
        return refused(Why.CALIBRATION_LAPSED, row, instrument=instrument.id)
    limit_s, row = seconds(rules, BUMP)
    age_s = (now_ns - instrument.bumped_ns) / NS
    if age_s > limit_s:
        hours = round(age_s / 3600, 1)
        return refused(
            Why.BUMP_OLD, row, instrument=instrument.id, hours=hours, limit=limit_s / 3600
        )
    return None
