"""Live conditions: what breaks a permit in force, found anew at every look. Nothing here needs the cloud."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from tocsin.permits.context import Context, Reading
from tocsin.permits.gas_limits import beyond, in_order
from tocsin.permits.intervals import ATTENDANT, FRESHNESS, NS, seconds
from tocsin.permits.names import ENDED, IN_FORCE, Cause, State
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.rule_rows import RuleRow, Topic
from tocsin.permits.simops import conflicts

_NOT_RUNNING = IN_FORCE - {State.ACTIVE} | ENDED


class Breach(msgspec.Struct, frozen=True):
    """One condition that does not hold. `detail` is a quantity, device, person or permit; `rule` what it breaks."""

    cause: Cause
    detail: str = ""
    rule: RuleRow | None = None


def breaches(permit: Permit, context: Context, now_ns: int) -> list[Breach]:
    """Everything that does not hold now, the gravest first. Empty: the permit may stay, or become, active."""
    return [
        *(Breach(Cause.SOS, person) for person in context.conditions.sos),
        *_gas(context, now_ns),
        *(Breach(Cause.TAMPER, lock) for lock in context.conditions.tampered),
        *_people(permit, context),
        *_ventilation(permit, context, now_ns),
        *_attendant(context, now_ns),
        *_place(permit, context, now_ns),
    ]


def _gas(context: Context, now_ns: int) -> Iterator[Breach]:
    if context.template is None:
        return
    devices = context.space.live.gas_devices if context.space else ()
    limit_s, fresh_row = seconds(context.rules, FRESHNESS)
    for quantity in context.template.gases:
        mine = [
            r
            for r in context.conditions.readings
            if r.quantity == quantity and (not devices or r.device in devices)
        ]
        fresh = [r for r in mine if abs(now_ns - r.at_ns) <= limit_s * NS]
        over = next((b for r in fresh if (b := too_much(r, context))), None)
        if over is not None:
            yield over
        elif not fresh:
            yield Breach(Cause.STALE, quantity, fresh_row)
        elif not any(_trusted(r, context, now_ns) for r in fresh):
            yield Breach(Cause.SENSOR, quantity)


def too_much(reading: Reading, context: Context) -> Breach | None:
    """A value beyond the alarm counts whatever its quality: a detector over its range tells so too."""
    rules, quantity = context.rules, reading.quantity
    topic = Topic.ALARM if rules.of(Topic.ALARM, quantity) else Topic.GAS
    wrong = beyond(rules, topic, quantity, reading.value, reading.unit)
    if wrong is None:
        return None
    if wrong.reason is Why.LIMIT_UNKNOWN or math.isnan(reading.value):
        return Breach(Cause.SENSOR, f"{quantity} {reading.unit}") if reading.good else None
    detail = f"{quantity} {reading.value:g} {reading.unit}"
    return Breach(Cause.OXYGEN if quantity == "o2" else Cause.GAS, detail, wrong.rule)


def _trusted(reading: Reading, context: Context, now_ns: int) -> bool:
    if not reading.good:
        return False
    instrument = next((i for i in context.instruments.values() if i.device == reading.device), None)
    if instrument is None:
        return True
    wrong = in_order(instrument, context.rules, now_ns)
    return wrong is None or wrong.reason is not Why.CALIBRATION_LAPSED


def _people(permit: Permit, context: Context) -> Iterator[Breach]:
    entrants = set(permit.form.entrants) if permit.form else set()
    for person in (*context.conditions.unlisted, *sorted(permit.inside - entrants)):
        yield Breach(Cause.UNLISTED, person)
    counted = context.conditions.counted_inside
    if not permit.headcount_known:
        yield Breach(Cause.HEADCOUNT)
    elif counted is not None and counted != len(permit.inside):
        yield Breach(Cause.HEADCOUNT, f"{counted}/{len(permit.inside)}")


def _ventilation(permit: Permit, context: Context, now_ns: int) -> Iterator[Breach]:
    limit_s, row = seconds(context.rules, FRESHNESS)
    conditions = context.conditions
    if permit.ventilated_since_ns is None or conditions.ventilating is False:
        yield Breach(Cause.VENTILATION)
    elif context.space and context.space.live.ventilation:
        unknown = conditions.ventilating is None
        if unknown or abs(now_ns - conditions.ventilating_ns) > limit_s * NS:
            yield Breach(Cause.STALE, "ventilation", row)


def _attendant(context: Context, now_ns: int) -> Iterator[Breach]:
    limit_s, row = seconds(context.rules, ATTENDANT)
    if abs(now_ns - context.conditions.attendant_ns) > limit_s * NS:
        yield Breach(Cause.ATTENDANT, "", row)


def _place(permit: Permit, context: Context, now_ns: int) -> Iterator[Breach]:
    for isolation in context.template.isolations if context.template else ():
        if isolation.id not in permit.isolated:
            yield Breach(Cause.ISOLATION, isolation.id)
    linked = set(permit.form.linked) if permit.form else set()
    stopped = {o.permit for o in context.others if o.permit in linked and o.state in _NOT_RUNNING}
    for other in sorted(stopped | set(context.conditions.suspended_links)):
        yield Breach(Cause.LINKED, other)
    for conflict in conflicts(permit, context, now_ns, in_force=True):
        yield Breach(Cause.SIMOPS, conflict.permit)
    if context.conditions.weather:
        yield Breach(Cause.WEATHER, context.conditions.weather)
    if context.conditions.siren_ok is False and not context.conditions.cloud_ok:
        yield Breach(Cause.SIREN)
