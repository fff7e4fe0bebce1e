"""The checks before each state a permit may move to. docs/reference/permits.md lists them."""

from __future__ import annotations

from tocsin.permits import gas_test
from tocsin.permits.context import Context
from tocsin.permits.facts import LOCKED, Form
from tocsin.permits.intervals import INTERRUPTION, NS, TEST_AGE, VALIDITY, seconds
from tocsin.permits.live import breaches
from tocsin.permits.names import ENDED, IN_FORCE, Cause, Role, State
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.people import ATTENDED, crew
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.requests import Request
from tocsin.permits.simops import conflicts, space_free
from tocsin.permits.space import Template

_FIELDS = ("purpose", "steps", "work_leader", "attendants", "entrants", "gas_tester")
_RESCUE = ("rescue_plan", "rescue_call")
_ORDER = "order-of-work"


def drafted(form: Form, permit: Permit, context: Context) -> Refused | None:
    """The space is in the ledger, not under another permit at that time, and its hazards are known."""
    if context.space is None or context.space.id != form.space:
        return refused(Why.UNKNOWN_SPACE, space=form.space)
    if context.template is None or context.template.id != form.template:
        return refused(Why.UNKNOWN_TEMPLATE, template=form.template)
    for other in context.others:
        overlaps = other.from_ns < form.until_ns and form.from_ns < other.until_ns
        held = other.permit != permit.id and other.space == form.space and other.state in IN_FORCE
        if held and overlaps:
            return refused(Why.SPACE_TAKEN, permit=other.permit)
    return None


def submitted(permit: Permit, form: Form, context: Context, now_ns: int) -> Refused | None:
    """Every field, every box of the checklist, the crew, and a duration that the rules allow."""
    for field in (*_FIELDS, *_RESCUE):
        if not getattr(form, field):
            row = context.rules.row("no-blind-rescue") if field in _RESCUE else None
            return refused(Why.FIELD_MISSING, row, field=field)
    if form.contractor and not form.contractor_licence:
        return refused(Why.FIELD_MISSING, field="contractor_licence")
    template = context.template
    if template is None:
        return refused(Why.UNKNOWN_TEMPLATE, template=form.template)
    for item in template.checklist:
        if item not in form.checklist:
            return refused(Why.CHECKLIST_OPEN, item=item)
    for item in template.equipment:
        if item not in form.equipment:
            return refused(Why.EQUIPMENT_MISSING, context.rules.row(ATTENDED), item=item)
    for linked in form.linked:
        there = (o for o in context.others if o.permit == linked and o.state not in ENDED)
        if linked == permit.id or not any(there):
            return refused(Why.LINK_UNKNOWN, permit=linked)
    limit_s, row = seconds(context.rules, VALIDITY)
    hours = (form.until_ns - form.from_ns) / NS / 3600
    if not 0 < hours <= limit_s / 3600:
        return refused(Why.TOO_LONG, row, hours=hours, limit=limit_s / 3600)
    if now_ns >= form.until_ns:
        return refused(Why.OVER)
    return drafted(form, permit, context) or crew(form, context, now_ns)


def prepared(
    permit: Permit, request: Request, context: Context, now_ns: int
) -> Refused | tuple[str, ...]:
    """What the scan found; conflicts need a reason."""
    found = conflicts(permit, context, now_ns)
    if found and not request.reason:
        return refused(Why.CONFLICT, permit=found[0].permit, activity=found[0].activity)
    return tuple(f"{c.permit}: {c.activity}" for c in found)


def site_ready(permit: Permit, template: Template, context: Context, now_ns: int) -> Refused | None:
    """Isolated and ventilated for long enough: only then is there something to test."""
    for isolation in template.isolations:
        if isolation.id not in permit.isolated:
            return refused(Why.ISOLATION_MISSING, item=isolation.id)
    if permit.handed_back:
        return refused(Why.HANDED_BACK)
    if permit.ventilated_since_ns is None:
        return refused(Why.VENTILATION_OFF, context.rules.row(_ORDER))
    pack_s, row = seconds(context.rules, "ventilation-min")
    limit_s = max(pack_s, template.ventilate_min_s)
    ran_s = (now_ns - permit.ventilated_since_ns) / NS
    if ran_s < limit_s:
        return refused(Why.VENTILATION_SHORT, row, minutes=int(ran_s // 60), limit=limit_s / 60)
    return None


def at_space(request: Request, context: Context) -> Refused | None:
    """The label at the space was read."""
    if context.space and context.space.code and request.place != context.space.code:
        return refused(Why.NOT_AT_SPACE, space=context.space.id)
    return None


def approved(
    permit: Permit, form: Form, template: Template, request: Request, context: Context, now_ns: int
) -> Refused | None:
    """On site, the test still young, everybody briefed, tools counted; nobody signs twice."""
    if request.actor in permit.approvers:
        return refused(Why.ALREADY_SIGNED, person=request.actor)
    if wrong := at_space(request, context) or in_time(form, now_ns, begun=False):
        return wrong
    if wrong := site_ready(permit, template, context, now_ns):
        return wrong
    if wrong := gas_test.holds(permit, template, context, now_ns) or crew(form, context, now_ns):
        return wrong
    for entrant in form.entrants:
        if entrant not in permit.briefed:
            return refused(Why.BRIEFING_UNSIGNED, person=entrant)
    if not permit.briefed.intersection(form.attendants):
        return refused(
            Why.BRIEFING_UNSIGNED, context.rules.row(ATTENDED), person=form.attendants[0]
        )
    return refused(Why.TOOLS_UNCOUNTED) if permit.tools_in is None else None


def in_time(form: Form, now_ns: int, *, begun: bool = True) -> Refused | None:
    """Not before the permit begins (where `begun`), never after its end."""
    if now_ns >= form.until_ns:
        return refused(Why.OVER)
    return refused(Why.NOT_YET) if begun and now_ns < form.from_ns else None


def live(
    permit: Permit, context: Context, now_ns: int, *, without: frozenset[Cause] = frozenset()
) -> Refused | None:
    """No live condition is broken."""
    for breach in breaches(permit, context, now_ns):
        if breach.cause not in without:
            return refused(Why.BREACH, breach.rule, cause=breach.cause.value, detail=breach.detail)
    return None


def activated(
    permit: Permit, form: Form, template: Template, request: Request, context: Context, now_ns: int
) -> Refused | None:
    """At the space, where the attendant's own word is the sign of the attendant; all else must hold."""
    return (
        at_space(request, context)
        or in_time(form, now_ns)
        or space_free(permit, context)
        or empty(permit)
        or gas_test.holds(permit, template, context, now_ns)
        or site_ready(permit, template, context, now_ns)
        or live(permit, context, now_ns, without=frozenset({Cause.ATTENDANT}))
        or gateway_knows(permit, context)
    )


def resumed(
    permit: Permit, form: Form, template: Template, context: Context, now_ns: int
) -> Refused | None:
    """Everybody out, a new test since, not interrupted for too long, and all live conditions."""
    if wrong := in_time(form, now_ns) or empty(permit) or space_free(permit, context):
        return wrong
    since = permit.suspended_ns if permit.suspended_ns is not None else permit.since_ns
    limit_s, row = seconds(context.rules, INTERRUPTION)
    stood_s = (now_ns - since) / NS
    if stood_s >= limit_s:
        return refused(
            Why.INTERRUPTED_TOO_LONG, row, minutes=int(stood_s // 60), limit=limit_s / 60
        )
    if permit.test is None or permit.test.at_ns <= since:
        return refused(Why.TEST_BEFORE_SUSPENSION, context.rules.row(gas_test.FAILED))
    return (
        gas_test.holds(permit, template, context, now_ns)
        or site_ready(permit, template, context, now_ns)
        or live(permit, context, now_ns)
        or gateway_knows(permit, context)
    )


def empty(permit: Permit) -> Refused | None:
    """Nobody is inside, and that is known."""
    if permit.inside:
        return refused(Why.STILL_INSIDE, count=len(permit.inside))
    return None if permit.headcount_known else refused(Why.HEADCOUNT_UNKNOWN)


def clear(permit: Permit, context: Context) -> Refused | None:
    """Nobody inside, every tool out, every lock relocked by its own word, isolations handed back."""
    if wrong := empty(permit):
        return wrong
    if permit.activated_ns is not None and permit.tools_in != permit.tools_out:
        out = "?" if permit.tools_out is None else permit.tools_out
        return refused(Why.TOOLS_LEFT, went_in=permit.tools_in, out=out)
    for lock, event in sorted(permit.lock_events.items()):
        if event not in LOCKED:
            return refused(Why.LOCK_OPEN, lock=lock)
    if permit.isolated and not permit.handed_back:
        return refused(Why.NOT_HANDED_BACK)
    return None if permit.activated_ns is None else gateway_knows(permit, context)


def gateway_knows(permit: Permit, context: Context) -> Refused | None:
    """The gateway keeps all that the cloud wrote, and the cloud all that the gateway did."""
    known = context.gateway_current and not permit.parted
    return None if known else refused(Why.GATEWAY_BEHIND)


def closed(permit: Permit, role: Role, context: Context) -> Refused | None:
    """The attendant says that all is clear, then the approver closes; both at a time when it is."""
    if permit.state not in _MAY_CLOSE and permit.activated_ns is None:
        return refused(Why.WRONG_STATE, state=permit.state.value, action="close")
    if wrong := clear(permit, context):
        return wrong
    if role is Role.APPROVER and not permit.cleared_by:
        return refused(Why.ATTENDANT_FIRST)
    return None


_MAY_CLOSE = frozenset({State.CLOSING, State.EXPIRED, State.SUSPENDED})


def back_to_prepared(permit: Permit, role: Role, context: Context, now_ns: int) -> Refused | None:
    """The test is too old and nobody went in, or work was interrupted for too long and all are out."""
    if wrong := empty(permit):
        return wrong
    if permit.state is State.SUSPENDED:
        row_id, since = INTERRUPTION, permit.suspended_ns or permit.since_ns
    else:
        row_id, since = TEST_AGE, permit.test.at_ns if permit.test else 0
    limit_s, row = seconds(context.rules, row_id)
    age_s = (now_ns - since) / NS
    if age_s < limit_s and role is Role.SYSTEM:
        return refused(Why.TOO_YOUNG, row, minutes=int(age_s // 60), limit=limit_s / 60)
    return None
