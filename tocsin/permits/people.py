"""Who may ask for what on a permit: roles held, roles named, and roles that one person must not have at once."""

from __future__ import annotations

from tocsin.permits.context import Account, Context
from tocsin.permits.facts import Form
from tocsin.permits.names import Action, Role
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why
from tocsin.permits.requests import Request
from tocsin.permits.transitions import TRANSITIONS

SEPARATION = "approval-required"
TRAINED = "trained-only"
ATTENDED = "ppe-and-attendant"
_ANYBODY_HERE = frozenset(  # named on the permit or not: the safe way is never barred
    {Action.SOS, Action.EMERGENCY, Action.SUSPEND, Action.EXIT, Action.COUNT_PEOPLE}
)
_NOT_OWN = frozenset(
    {Action.PREPARE, Action.APPROVE, Action.RESUME, Action.END_RESCUE, Action.CLOSE}
)


def may_ask(permit: Permit, request: Request, context: Context) -> Refused | None:
    """The actor holds the role, the role may, and where people are named for it the actor is one of them."""
    role, actor = request.role, request.actor
    account = context.people.get(actor)
    if role not in TRANSITIONS[request.action].roles:
        return refused(Why.ROLE_MAY_NOT, role=role.value, action=request.action.value)
    if role is Role.SYSTEM:  # never a person
        return refused(Why.ROLE_NOT_HELD, person=actor, role=role.value) if account else None
    if account is None:
        return refused(Why.UNKNOWN_PERSON, person=actor)
    if role not in account.roles:
        return refused(Why.ROLE_NOT_HELD, person=actor, role=role.value)
    if permit.form is None or request.action in _ANYBODY_HERE:
        return None
    named = named_for(permit, permit.form, role)
    if named is not None and actor not in named:
        return refused(Why.NOT_NAMED, person=actor, role=role.value)
    if role is Role.APPROVER and request.action in _NOT_OWN:
        return _not_own_work(permit, permit.form, actor, context)
    return None


def named_for(permit: Permit, form: Form, role: Role) -> frozenset[str] | None:
    """Who is named on the permit for a role; None where everybody who holds it may act."""
    match role:
        case Role.APPLICANT:
            return frozenset({permit.applicant, form.work_leader})
        case Role.ATTENDANT:
            return frozenset(form.attendants)
        case Role.ENTRANT:
            return frozenset(form.entrants)
        case Role.GAS_TESTER:
            return frozenset({form.gas_tester})
        case _:
            return None


def _not_own_work(permit: Permit, form: Form, actor: str, context: Context) -> Refused | None:
    """An approver has no other part in the permit."""
    for other in (Role.APPLICANT, Role.ENTRANT, Role.ATTENDANT, Role.GAS_TESTER):
        if actor in (named_for(permit, form, other) or ()):
            row = context.rules.row(SEPARATION)
            return refused(Why.SAME_PERSON, row, person=actor, role="approver", other=other.value)
    return None


def crew(form: Form, context: Context, now_ns: int) -> Refused | None:
    """Everybody named is known, holds the role, is trained and fit, and has no two roles that exclude one another."""
    for role, names in (
        (Role.ATTENDANT, form.attendants),
        (Role.ENTRANT, form.entrants),
        (Role.GAS_TESTER, (form.gas_tester,)),
    ):
        for name in names:
            account = context.people.get(name)
            if account is None:
                return refused(Why.UNKNOWN_PERSON, person=name)
            if role not in account.roles:
                return refused(Why.ROLE_NOT_HELD, person=name, role=role.value)
            if unready := ready(account, context, now_ns):
                return unready
    for name in form.entrants:
        for role, others in (
            (Role.ATTENDANT, form.attendants),
            (Role.GAS_TESTER, (form.gas_tester,)),
        ):
            if name in others:
                row = context.rules.row(ATTENDED)
                return refused(Why.SAME_PERSON, row, person=name, role="entrant", other=role.value)
    return None


def ready(account: Account, context: Context, now_ns: int) -> Refused | None:
    """Trained and medically fit at `now_ns`."""
    if account.trained_until_ns <= now_ns:
        return refused(Why.UNTRAINED, context.rules.row(TRAINED), person=account.name)
    if account.fit_until_ns <= now_ns:
        return refused(Why.UNFIT, person=account.name)
    return None
