"""A permit as people see it: on the attendant's page and through the control socket. Ages are seconds, with every value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge.permits.watched import Watched
from tocsin.permits.intervals import FRESHNESS, NS, seconds
from tocsin.permits.live import breaches
from tocsin.permits.names import IN_FORCE, State
from tocsin.permits.rule_rows import RuleRow

if TYPE_CHECKING:
    from edge.permits.desk import PermitDesk


class GasView(msgspec.Struct, frozen=True):
    """One value. `old`: older than the rules allow."""

    device: str
    quantity: str
    value: float
    unit: str
    age_s: float
    good: bool
    old: bool


class PersonView(msgspec.Struct, frozen=True):
    """Somebody of the crew."""

    account: str
    name: str
    inside: bool
    entered: bool


class BreachView(msgspec.Struct, frozen=True):
    """A live condition that does not hold, with the rule it breaks."""

    cause: str
    detail: str
    rule_zh: str = ""
    rule_en: str = ""
    citation: str = ""


class LockView(msgspec.Struct, frozen=True):
    """One lock of the space, as it told last."""

    lock: str
    last_event: str


class PermitView(msgspec.Struct, frozen=True):
    """All of one permit that is shown."""

    permit: str
    state: str
    since_s: float
    space: str
    space_name: str
    purpose: str
    left_s: float | None
    attendants: list[str]
    crew: list[PersonView]
    inside: list[str]
    headcount_known: bool
    cause: str
    breaches: list[BreachView]
    gas: list[GasView]
    ventilating: bool | None
    ventilating_age_s: float | None
    attendant_age_s: float | None
    locks: list[LockView]
    siren: bool
    grant_left_s: float | None
    unmerged: int  # own entries that the cloud has not said it keeps
    owed: int  # entries that the disk refused so far
    rescue_call: str
    rescue_plan: str


def view(desk: PermitDesk, watched: Watched) -> PermitView:
    """The permit now."""
    permit, context, now_ns = watched.permit, desk.context(watched), desk.now_ns()
    form, conditions = permit.form, context.conditions
    limit_s, _ = seconds(context.rules, FRESHNESS)
    outstanding = permit.outstanding_until_ns(now_ns)
    names = {p.account: p.name for p in watched.told.people}
    crew = form.entrants if form else ()
    extra = sorted(permit.inside - set(crew))
    live = permit.state in IN_FORCE or permit.state is State.APPROVED
    found = breaches(permit, context, now_ns) if live else []
    return PermitView(
        permit=watched.id,
        state=permit.state.value,
        since_s=(now_ns - permit.since_ns) / NS,
        space=watched.told.space.id,
        space_name=watched.told.space.name,
        purpose=form.purpose if form else "",
        left_s=(form.until_ns - now_ns) / NS if form else None,
        attendants=list(form.attendants) if form else [],
        crew=[
            PersonView(a, names.get(a, a), a in permit.inside, a in permit.entered_ever)
            for a in (*crew, *extra)
        ],
        inside=sorted(permit.inside),
        headcount_known=watched.seen.headcount_known,
        cause=permit.cause.value if permit.cause else "",
        breaches=[BreachView(b.cause.value, b.detail, *_rule(b.rule)) for b in found],
        gas=[
            GasView(
                r.device, r.quantity, r.value, r.unit, (now_ns - r.at_ns) / NS, r.good,
                (now_ns - r.at_ns) / NS > limit_s,
            )
            for r in conditions.readings
        ],
        ventilating=conditions.ventilating,
        ventilating_age_s=(
            (now_ns - conditions.ventilating_ns) / NS if conditions.ventilating_ns else None
        ),
        attendant_age_s=desk.watch.sign_age_s(watched.id),
        locks=[
            LockView(lock, permit.lock_events.get(lock, "")) for lock in desk.space(watched).locks
        ],
        siren=desk.siren_on(watched),
        grant_left_s=(outstanding - now_ns) / NS if outstanding else None,
        unmerged=len(watched.unmerged),
        owed=len(watched.owed),
        rescue_call=form.rescue_call if form else "",
        rescue_plan=form.rescue_plan if form else "",
    )  # fmt: skip


def _rule(row: RuleRow | None) -> tuple[str, str, str]:
    return (row.text_zh, row.text_en, row.citation) if row else ("", "", "")
