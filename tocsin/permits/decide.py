"""The one door to a permit's journal: a request is accepted with the facts it makes, or refused with its reason."""

from __future__ import annotations

from tocsin.permits import facts, gates, grant_policy, records
from tocsin.permits.context import Context
from tocsin.permits.intervals import RETENTION, seconds
from tocsin.permits.journal import CLOUD
from tocsin.permits.names import Action, Cause, Role, State
from tocsin.permits.outcomes import Accepted, Effect, Outcome, Refused, refused
from tocsin.permits.people import may_ask
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.requests import CARRIES, NEEDS_REASON, Request
from tocsin.permits.transitions import GATEWAY_TARGETS, TRANSITIONS

_NEED_CLOUD = {
    Action.RESUME: Why.RESUME_NEEDS_CLOUD,
    Action.ACTIVATE: Why.ACTIVATE_NEEDS_CLOUD,
}
_TOLD = (Effect.NOTIFY,)


def decide(permit: Permit, request: Request, context: Context, now_ns: int) -> Outcome:
    """What comes of `request` on `permit` now. Pure; the same on cloud and gateway, which may do less."""
    return _barred(permit, request, context) or _answer(permit, request, context, now_ns)


def _barred(permit: Permit, request: Request, context: Context) -> Refused | None:
    """What holds for every action: a place that may decide it, a state that has it, an actor who may, a reason, its fact."""
    action, row = request.action, TRANSITIONS[request.action]
    if context.source != CLOUD:
        beyond_gateway = action is Action.TEST and permit.state is State.PREPARED
        if not row.gateway or beyond_gateway:
            why = _NEED_CLOUD.get(action, Why.NEEDS_CLOUD)
            return refused(why, action=action.value)
    if permit.state not in row.sources or (permit.form is None and action is not Action.DRAFT):
        return refused(Why.WRONG_STATE, state=permit.state.value, action=action.value)
    if wrong := may_ask(permit, request, context):
        return wrong
    wants = CARRIES.get(action)
    if wants is not None and not isinstance(request.said, wants):
        return refused(Why.MALFORMED, action=action.value, wants=wants.__name__)
    if action in NEEDS_REASON and not request.reason.strip():
        return refused(Why.REASON_MISSING, action=action.value)
    return None


def _answer(permit: Permit, request: Request, context: Context, now_ns: int) -> Outcome:
    said = request.said
    match said:
        case facts.Drafted(form):
            changed = permit.form is not None and permit.applicant != request.actor
            if changed:
                return refused(Why.NOT_NAMED, person=request.actor, role=Role.APPLICANT.value)
            return gates.drafted(form, permit, context) or Accepted((said,))
        case facts.GrantNoted():
            return grant_policy.noted(permit, said, context, now_ns) or Accepted((said,))
        case facts.Noted():
            return Accepted((said,), _TOLD)
        case None:
            return _move(permit, request, context, now_ns)
        case _:
            return _record(permit, request, said, context, now_ns)


def _record(
    permit: Permit, request: Request, said: facts.Fact, context: Context, now_ns: int
) -> Outcome:
    match said:
        case facts.Isolated() if request.action is Action.ISOLATE:
            return records.isolated(said, context)
        case facts.Isolated(item):
            gone = facts.Isolated(item, on=False)
            return records.undone(permit, gone, Cause.ISOLATION)
        case facts.Ventilated(on=False):
            return records.undone(permit, said, Cause.VENTILATION)
        case facts.GasTested():
            return records.tested(permit, said, context, now_ns)
        case facts.Briefed(person) if person != request.actor:
            return refused(Why.NOT_NAMED, person=request.actor, role=request.role.value)
        case facts.ToolsCounted(way, count) if way not in ("in", "out") or count < 0:
            return refused(Why.MALFORMED, action=request.action.value, wants="count >= 0")
        case facts.Entered():
            return records.entered(permit, said, request, context, now_ns)
        case facts.Exited():
            return records.exited(permit, said, request)
        case facts.Counted():
            return records.counted(permit, said)
        case facts.LockTold():
            return records.lock_told(permit, said)
        case _:
            return Accepted((said,))


def _move(permit: Permit, request: Request, context: Context, now_ns: int) -> Outcome:
    match request.action:
        case Action.SOS:
            return records.called_for_help(permit)
        case Action.END_RESCUE:
            return records.rescue_ended(permit, request.role)
        case Action.HAND_BACK:
            return gates.empty(permit) or Accepted((facts.HandedBack(),))
        case Action.CLOSE:
            wrong = gates.closed(permit, request.role, context)
            if wrong is None and request.role is Role.ATTENDANT:
                return Accepted((facts.Cleared(),), _TOLD)
        case Action.PREPARE:
            found = gates.prepared(permit, request, context, now_ns)
            if isinstance(found, Refused):
                return found
            return Accepted((facts.Moved(permit.state, State.PREPARED, conflicts=found),), _TOLD)
        case _:
            wrong = _gate(permit, request, context, now_ns)
    if wrong is not None:
        return wrong
    target = TRANSITIONS[request.action].target
    if target is None or (context.source != CLOUD and target not in GATEWAY_TARGETS):
        return refused(Why.NEEDS_CLOUD, action=request.action.value)
    template = context.template
    if request.action is Action.APPROVE and template and template.four_eyes:
        target = State.APPROVED if permit.approvers else State.TESTED
    cause = request.cause
    if request.action is Action.SUSPEND and cause is None:
        cause = Cause.PERSON
    moved = facts.Moved(permit.state, target, cause, place=request.place)
    return Accepted((moved,), _effects(permit, target))


def _gate(permit: Permit, request: Request, context: Context, now_ns: int) -> Refused | None:
    form, template = permit.form, context.template
    action = request.action
    if form is None:
        return refused(Why.WRONG_STATE, state=permit.state.value, action=action.value)
    match action:
        case Action.SUBMIT:
            return gates.submitted(permit, form, context, now_ns)
        case Action.BACK_TO_PREPARED:
            return gates.back_to_prepared(permit, request.role, context, now_ns)
        case Action.EXPIRE if now_ns < form.until_ns:
            return refused(Why.TOO_YOUNG, minutes=0, limit=(form.until_ns - now_ns) / 60e9)
        case Action.REVOKE if permit.activated_ns is not None:
            return refused(Why.WAS_ACTIVE)
        case Action.APPROVE | Action.ACTIVATE | Action.RESUME if template is None:
            return refused(Why.UNKNOWN_TEMPLATE, template=form.template)
        case Action.APPROVE if template:
            return gates.approved(permit, form, template, request, context, now_ns)
        case Action.ACTIVATE if template:
            return gates.activated(permit, form, template, request, context, now_ns)
        case Action.RESUME if template:
            return gates.resumed(permit, form, template, context, now_ns)
        case _:
            return None


def _effects(permit: Permit, target: State) -> tuple[Effect, ...]:
    match target:
        case State.ACTIVE:
            return (Effect.SIREN_OFF, Effect.ISSUE_GRANTS, Effect.NOTIFY)
        case State.SUSPENDED:
            return records.STOP
        case State.EXPIRED:
            return records.STOP if permit.activated_ns is not None else _TOLD
        case State.EMERGENCY:
            return (
                *records.STOP,
                Effect.ISSUE_RESCUE_GRANTS,
                Effect.NOTIFY_BUREAU,
            )
        case State.CLOSING:
            return (Effect.STOP_GRANTS, Effect.EVACUATE, Effect.NOTIFY)
        case State.CLOSED | State.REVOKED:
            return (Effect.VOID_GRANTS, Effect.SIREN_OFF, Effect.BUNDLE, Effect.NOTIFY)
        case State.REJECTED:
            return (Effect.BUNDLE, Effect.NOTIFY)
        case _:
            return _TOLD


def keep_until_ns(permit: Permit, context: Context) -> int | None:
    """When an ended permit may be deleted (Unix ns); None: never, since there was an incident."""
    if permit.incident:
        return None
    limit_s, _ = seconds(context.rules, RETENTION)
    return permit.since_ns + int(limit_s * 1_000_000_000)
