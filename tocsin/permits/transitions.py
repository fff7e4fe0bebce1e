"""Which action is possible in which state, who may ask for it, and where it leads. docs/reference/permits.md shows it as a table."""

from __future__ import annotations

import msgspec

from tocsin.permits.names import BEFORE_ACTIVE, IN_FORCE, Action, Role, State

PEOPLE = frozenset(Role) - {Role.SYSTEM}
_ALL = frozenset(State)
_SITE = frozenset({State.PREPARED, State.TESTED, State.APPROVED})
_CREW = frozenset({Role.APPLICANT, Role.ATTENDANT, Role.TECHNICIAN})


class Transition(msgspec.Struct, frozen=True):
    """One row. `target` None: the state stays, or the checks say where it goes."""

    action: Action
    sources: frozenset[State]
    roles: frozenset[Role]
    target: State | None = None
    gateway: bool = False  # a gateway may do it without the cloud


def _row(
    action: Action,
    sources: frozenset[State] | State,
    roles: frozenset[Role] | Role,
    target: State | None = None,
    *,
    gateway: bool = False,
) -> Transition:
    states = frozenset({sources}) if isinstance(sources, State) else sources
    who = frozenset({roles}) if isinstance(roles, Role) else roles
    return Transition(action, states, who, target, gateway)


_RUNNING = frozenset({State.ACTIVE, State.CLOSING})
_STANDING = frozenset({State.CLOSING, State.EXPIRED, State.SUSPENDED})
_SUSPENDERS = frozenset({Role.SYSTEM, Role.ATTENDANT, Role.APPROVER, Role.REGULATOR})
_COUNTERS = frozenset({Role.ATTENDANT, Role.APPROVER, Role.RESCUE})
TRANSITIONS = {
    row.action: row
    for row in (
        _row(Action.DRAFT, State.DRAFT, Role.APPLICANT),
        _row(Action.SUBMIT, State.DRAFT, Role.APPLICANT, State.SUBMITTED),
        _row(Action.REJECT, State.SUBMITTED, Role.APPROVER, State.REJECTED),
        _row(Action.PREPARE, State.SUBMITTED, Role.APPROVER, State.PREPARED),
        _row(Action.ISOLATE, _SITE | {State.SUSPENDED}, _CREW, gateway=True),
        _row(
            Action.REOPEN,
            _SITE | IN_FORCE,
            _CREW | {Role.APPROVER, Role.SYSTEM},
            gateway=True,
        ),
        _row(
            Action.VENTILATE,
            _SITE | IN_FORCE,
            _CREW | {Role.GAS_TESTER, Role.SYSTEM},
            gateway=True,
        ),
        _row(
            Action.TEST,
            _SITE | IN_FORCE,
            Role.GAS_TESTER,
            gateway=True,
        ),
        _row(
            Action.BRIEF,
            _SITE | {State.ACTIVE, State.SUSPENDED},
            frozenset({Role.ENTRANT, Role.ATTENDANT}),
            gateway=True,
        ),
        _row(Action.COUNT_TOOLS, _SITE | IN_FORCE, Role.ATTENDANT, gateway=True),
        _row(Action.APPROVE, State.TESTED, Role.APPROVER, State.APPROVED),
        _row(Action.ACTIVATE, State.APPROVED, Role.ATTENDANT, State.ACTIVE),
        _row(
            Action.ENTER,
            frozenset({State.ACTIVE, State.EMERGENCY}),
            frozenset({Role.ATTENDANT, Role.ENTRANT, Role.RESCUE}),
            gateway=True,
        ),
        _row(
            Action.EXIT,
            _ALL,
            frozenset({Role.ATTENDANT, Role.ENTRANT, Role.APPROVER, Role.RESCUE}),
            gateway=True,
        ),
        _row(
            Action.COUNT_PEOPLE,
            IN_FORCE | _SITE,  # the latter only where it had been active
            _COUNTERS,
            gateway=True,
        ),
        _row(Action.SUSPEND, _RUNNING, _SUSPENDERS, State.SUSPENDED, gateway=True),
        _row(Action.SOS, IN_FORCE, PEOPLE, gateway=True),
        _row(Action.RESUME, State.SUSPENDED, Role.APPROVER, State.ACTIVE),
        _row(
            Action.EMERGENCY,
            IN_FORCE - {State.EMERGENCY},
            PEOPLE | {Role.SYSTEM},
            State.EMERGENCY,
            gateway=True,
        ),
        _row(
            Action.END_RESCUE,
            State.EMERGENCY,
            frozenset({Role.APPROVER, Role.RESCUE}),
            gateway=True,
        ),
        _row(Action.FINISH, State.ACTIVE, Role.APPLICANT, State.CLOSING, gateway=True),
        _row(Action.WARN, _RUNNING | {State.SUSPENDED}, Role.SYSTEM, gateway=True),
        _row(
            Action.EXPIRE,
            frozenset({State.ACTIVE, State.SUSPENDED, State.APPROVED, State.CLOSING}),
            Role.SYSTEM,
            State.EXPIRED,
            gateway=True,
        ),
        _row(
            Action.BACK_TO_PREPARED,
            frozenset({State.TESTED, State.APPROVED, State.SUSPENDED}),
            frozenset({Role.SYSTEM, Role.APPROVER}),
            State.PREPARED,
        ),
        _row(Action.HAND_BACK, _STANDING | {State.PREPARED}, _CREW, gateway=True),
        _row(Action.LOCK, _ALL, Role.SYSTEM, gateway=True),
        _row(Action.GRANT, frozenset({State.ACTIVE, State.EMERGENCY}), Role.SYSTEM),
        _row(
            Action.CLOSE,
            _STANDING | _SITE,  # the latter only where it had been active
            frozenset({Role.ATTENDANT, Role.APPROVER}),
            State.CLOSED,
        ),
        _row(
            Action.REVOKE,
            BEFORE_ACTIVE,
            frozenset({Role.APPROVER, Role.REGULATOR}),
            State.REVOKED,
        ),
        _row(
            Action.ARCHIVE,
            frozenset({State.CLOSED, State.REVOKED, State.REJECTED}),
            Role.SYSTEM,
            State.ARCHIVED,
        ),
    )
}
GATEWAY_TARGETS = frozenset(  # all of them away from ACTIVE; PREPARED where the site is no longer as it was tested
    {State.PREPARED, State.SUSPENDED, State.EMERGENCY, State.CLOSING, State.EXPIRED}
)
