"""What is recorded on a permit without a gate: what each record needs, and where it moves the permit by itself."""

from __future__ import annotations

from tocsin.permits import facts, gas_test, gates
from tocsin.permits.context import Context
from tocsin.permits.intervals import INTERRUPTION, NS, seconds
from tocsin.permits.names import IN_FORCE, Action, Cause, Role, State
from tocsin.permits.outcomes import Accepted, Effect, Outcome, Refused, refused
from tocsin.permits.people import ready
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.requests import Request

STOP = (Effect.STOP_GRANTS, Effect.SIREN_ON, Effect.EVACUATE, Effect.NOTIFY)
_RUNNING = frozenset({State.ACTIVE, State.CLOSING})
_READY = frozenset({State.TESTED, State.APPROVED})


def suspension(permit: Permit, cause: Cause) -> facts.Moved:
    """The move to SUSPENDED."""
    return facts.Moved(permit.state, State.SUSPENDED, cause)


def isolated(said: facts.Isolated, context: Context) -> Outcome:
    """An item of the list is signed, with its picture where the template wants one."""
    listed = context.template.isolations if context.template else ()
    item = next((i for i in listed if i.id == said.item), None)
    if item is None:
        return refused(Why.ISOLATION_UNKNOWN, item=said.item)
    if item.photo and not said.photo:
        return refused(Why.PHOTO_MISSING, item=said.item)
    return Accepted((facts.Isolated(said.item, on=True, photo=said.photo),))


def undone(permit: Permit, said: facts.Fact, cause: Cause) -> Accepted:
    """What made the place safe is gone: work stops, and a test that was made no longer counts."""
    if permit.state in _RUNNING:
        return Accepted((said, suspension(permit, cause)), STOP)
    if permit.state in _READY:
        return Accepted((said, facts.Moved(permit.state, State.PREPARED)), (Effect.NOTIFY,))
    return Accepted((said,))


def tested(permit: Permit, said: facts.GasTested, context: Context, now_ns: int) -> Outcome:
    """Before work a good test opens the next state, and a bad one takes it back; during work a bad one stops it. A bad value is kept wherever it was found."""
    template = context.template
    if template is None:
        return refused(Why.UNKNOWN_TEMPLATE, template=permit.form.template if permit.form else "")
    wrong = gas_test.well_made(said, template, context, now_ns)
    bad = gas_test.within_limits(said, context)
    exceeded = bad is not None and bad.reason is Why.LIMIT_EXCEEDED
    if permit.state in _READY and exceeded:
        return Accepted((said, facts.Moved(permit.state, State.PREPARED)), (Effect.NOTIFY,))
    if permit.state in _RUNNING and bad is not None and exceeded:
        oxygen = bad.args.get("quantity") == "o2"
        cause = Cause.OXYGEN if oxygen else Cause.GAS
        return Accepted((said, suspension(permit, cause)), STOP)
    if wrong is not None:
        return wrong
    if permit.state is State.PREPARED:
        if early := gates.site_ready(permit, template, context, now_ns):
            return early
        if bad is not None:
            return Refused(bad.reason, bad.rule, bad.args, keep=(said,))
        return Accepted((said, facts.Moved(State.PREPARED, State.TESTED)), (Effect.NOTIFY,))
    if permit.state in _READY and bad is not None:
        return bad
    return Accepted((said,))


def entered(
    permit: Permit, said: facts.Entered, request: Request, context: Context, now_ns: int
) -> Outcome:
    """On the roster, briefed, trained, fit; nothing broken; and the test young wherever nobody has been inside for long."""
    person, form = said.person, permit.form
    if request.role is Role.ENTRANT and request.actor != person:
        return refused(Why.NOT_NAMED, person=request.actor, role=Role.ENTRANT.value)
    account = context.people.get(person)
    if account is None:
        return refused(Why.UNKNOWN_PERSON, person=person)
    if person in permit.inside:
        return refused(Why.ALREADY_INSIDE, person=person)
    if permit.state is State.EMERGENCY:
        if Role.RESCUE in account.roles:
            return Accepted((said,))
        return refused(Why.NOT_RESCUE, context.rules.row("no-blind-rescue"), person=person)
    if request.role is Role.RESCUE:
        return refused(Why.ROLE_MAY_NOT, role=request.role.value, action=request.action.value)
    if form is None or person not in form.entrants:
        return refused(Why.UNLISTED, person=person)
    if person not in permit.briefed:
        return refused(Why.BRIEFING_UNSIGNED, person=person)
    wrong = ready(account, context, now_ns) or gates.in_time(form, now_ns)
    if wrong is None and not permit.inside:
        limit_s, _ = seconds(context.rules, INTERRUPTION)
        if permit.emptied_ns is None or now_ns - permit.emptied_ns >= limit_s * NS:
            wrong = gas_test.recent(permit, context, now_ns)
            if wrong is None and permit.test is not None:
                wrong = gas_test.within_limits(permit.test.told, context)
    wrong = wrong or gas_test.recorded(permit, context, now_ns)
    wrong = wrong or gates.live(permit, context, now_ns)
    return wrong or Accepted((said,))


def exited(permit: Permit, said: facts.Exited, request: Request) -> Outcome:
    """Whoever is inside may come out, in every state."""
    if request.role is Role.ENTRANT and request.actor != said.person:
        return refused(Why.NOT_NAMED, person=request.actor, role=Role.ENTRANT.value)
    if said.person not in permit.inside:
        return refused(Why.NOT_INSIDE, person=said.person)
    last = permit.inside == {said.person} and permit.headcount_known
    calm = last and permit.state not in _RUNNING
    return Accepted((said,), (Effect.SIREN_OFF,) if calm else ())


def counted(permit: Permit, said: facts.Counted) -> Outcome:
    """A roll call. Another result than the roster's stops the work."""
    if permit.state not in IN_FORCE and permit.activated_ns is None:
        action = Action.COUNT_PEOPLE.value
        return refused(Why.WRONG_STATE, state=permit.state.value, action=action)
    if frozenset(said.inside) == permit.inside or permit.state not in _RUNNING:
        calm = not said.inside and permit.state not in _RUNNING
        return Accepted((said,), (Effect.SIREN_OFF,) if calm else ())
    return Accepted((suspension(permit, Cause.HEADCOUNT), said), STOP)


def lock_told(permit: Permit, said: facts.LockTold) -> Accepted:
    """A lock that was forced or tampered with stops the work."""
    if said.event in ("forced", "tamper"):
        if permit.state in _RUNNING:
            return Accepted((said, suspension(permit, Cause.TAMPER)), STOP)
        return Accepted((said,), (Effect.NOTIFY,))
    return Accepted((said,))


def called_for_help(permit: Permit) -> Accepted:
    """SOS: work stops; where it stands already the call becomes the cause, and the siren sounds anew."""
    if permit.state in _RUNNING:
        return Accepted((suspension(permit, Cause.SOS),), STOP)
    again = facts.Moved(permit.state, permit.state, Cause.SOS)
    return Accepted((again,), (Effect.SIREN_ON, Effect.EVACUATE, Effect.NOTIFY))


def rescue_ended(permit: Permit, role: Role) -> Outcome:
    """The rescue team says so; the approver ends the emergency once it has, or nobody is inside."""
    if role is Role.RESCUE:
        return Accepted((facts.RescueEnded(),))
    if not permit.rescue_ended and (wrong := gates.empty(permit)):
        return wrong
    calm = () if permit.occupied else (Effect.SIREN_OFF,)
    moved = facts.Moved(State.EMERGENCY, State.SUSPENDED)
    return Accepted((moved,), (Effect.VOID_GRANTS, *calm))
