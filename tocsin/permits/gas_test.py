"""Whether a gas test satisfies its gate: where, when and with what it was made, and what it found."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.permits.concentration import convert
from tocsin.permits.context import Context
from tocsin.permits.facts import GasTested, Point
from tocsin.permits.gas_limits import beyond, in_order
from tocsin.permits.intervals import NS, RECORD, TEST_AGE, seconds
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.rule_rows import Topic
from tocsin.permits.space import Template

FAILED = "test-failed-no-entry"
ORDER = (
    "test-order"  # a pack that has this row wants oxygen first, then what burns, then what is toxic
)
_RANK = {"o2": 0, "ex": 1, "ch4": 1, "h2": 1}


def in_order_of_test(quantities: Iterable[str]) -> list[str]:
    """Oxygen first, then what burns, then what is toxic."""
    return sorted(quantities, key=_rank)


def _rank(quantity: str) -> int:
    return _RANK.get(quantity, 2)


def _ordered(test: GasTested, context: Context) -> Refused | None:
    """At each depth, with each instrument, in the order of the points."""
    row = context.rules.row(ORDER)
    last: dict[tuple[str, str], str] = {}
    for point in test.points if row is not None else ():
        place = point.depth, point.instrument
        before = last.setdefault(place, point.quantity)
        if _rank(point.quantity) < _rank(before):
            args = {"quantity": point.quantity, "depth": point.depth, "other": before}
            return refused(Why.TEST_ORDER, row, **args)
        last[place] = point.quantity
    return None


def well_made(test: GasTested, template: Template, context: Context, now_ns: int) -> Refused | None:
    """The instruments are in order, and every gas was tested at every depth, by two that agree where the template says so."""
    if context.space and context.space.code and test.place != context.space.code:
        return refused(Why.NOT_AT_SPACE, space=context.space.id)
    if not test.instruments:
        return refused(Why.INSTRUMENT_UNKNOWN, instrument="")
    for name in test.instruments:
        instrument = context.instruments.get(name)
        if instrument is None:
            return refused(Why.INSTRUMENT_UNKNOWN, instrument=name)
        if wrong := in_order(instrument, context.rules, now_ns):
            return wrong
    for point in test.points:
        if point.instrument and point.instrument not in test.instruments:
            return refused(Why.INSTRUMENT_UNKNOWN, instrument=point.instrument)
    if wrong := _ordered(test, context):
        return wrong
    for quantity in template.gases:
        for depth in template.depths:
            points = [p for p in test.points if (p.quantity, p.depth) == (quantity, depth)]
            if not points:
                return refused(Why.POINT_MISSING, quantity=quantity, depth=depth)
            if template.two_instruments and (wrong := _agree(points, template, context)):
                return wrong
    return None


def _agree(points: list[Point], template: Template, context: Context) -> Refused | None:
    """Near zero a part of the value means nothing, so a part of the limit is allowed as well."""
    quantity, depth, unit = points[0].quantity, points[0].depth, points[0].unit
    if len({p.instrument for p in points if p.instrument}) < 2:
        return refused(Why.SECOND_INSTRUMENT_MISSING, quantity=quantity, depth=depth)
    found = [convert(quantity, p.value, p.unit, unit, context.rules.reference_c) for p in points]
    values = [c.value for c in found if c is not None]
    limits = [
        convert(quantity, row.high, row.unit, unit, context.rules.reference_c)
        for row in context.rules.of(Topic.GAS, quantity)
        if row.high is not None
    ]
    scale = max(abs(v) for v in (*values, *(c.value for c in limits if c is not None)))
    low, high = min(values), max(values)
    if len(values) < len(points) or not high - low <= template.agree_within * scale:
        return refused(
            Why.INSTRUMENTS_DISAGREE, quantity=quantity, depth=depth, value=low, other=high
        )
    return None


def within_limits(test: GasTested, context: Context) -> Refused | None:
    """Every value is within the rules' limits for entry."""
    for point in test.points:
        wrong = beyond(
            context.rules, Topic.GAS, point.quantity, point.value, point.unit, point.depth
        )
        if wrong is not None:
            return wrong
    return None


def recent(permit: Permit, context: Context, now_ns: int) -> Refused | None:
    """There is a test, and it is younger than the rules' age."""
    limit_s, row = seconds(context.rules, TEST_AGE)
    if permit.test is None:
        return refused(Why.TEST_MISSING, context.rules.row(FAILED))
    age_s = (now_ns - permit.test.at_ns) / NS
    if age_s >= limit_s:
        return refused(Why.TEST_OLD, row, minutes=int(age_s // 60), limit=limit_s / 60)
    return None


def recorded(permit: Permit, context: Context, now_ns: int) -> Refused | None:
    """A person has tested, and so confirmed what is measured, within the rules' time; a pack without the row asks for none."""
    row = context.rules.row(RECORD)
    if row is None or row.interval_s is None or permit.test is None:
        return None
    age_s = (now_ns - permit.test.at_ns) / NS
    if age_s < row.interval_s:
        return None
    return refused(Why.TEST_OLD, row, minutes=int(age_s // 60), limit=row.interval_s / 60)


def holds(permit: Permit, template: Template, context: Context, now_ns: int) -> Refused | None:
    """The newest test is recent, well made and good: what approval, activation and resumption ask."""
    if wrong := recent(permit, context, now_ns):
        return wrong
    if permit.test is None:
        return None
    told = permit.test.told
    return well_made(told, template, context, now_ns) or within_limits(told, context)
