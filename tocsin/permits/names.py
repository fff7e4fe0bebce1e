"""The words of a permit: states, roles, and what can be asked. All stable; new ones are only added."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a permit stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    REJECTED = "rejected"
    PREPARED = "prepared"
    TESTED = "tested"
    APPROVED = "approved"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EMERGENCY = "emergency"
    CLOSING = "closing"
    EXPIRED = "expired"
    CLOSED = "closed"
    REVOKED = "revoked"
    ARCHIVED = "archived"


BEFORE_ACTIVE = frozenset(
    {State.DRAFT, State.SUBMITTED, State.PREPARED, State.TESTED, State.APPROVED}
)
IN_FORCE = frozenset(  # holds its space: no other permit may be active there
    {State.ACTIVE, State.SUSPENDED, State.EMERGENCY, State.CLOSING, State.EXPIRED}
)
SEVERITY = {  # where two moves knew nothing of one another, the higher one holds
    **dict.fromkeys(State, 0),
    State.ACTIVE: 1,
    State.CLOSING: 2,
    State.SUSPENDED: 3,
    State.EXPIRED: 4,
    State.CLOSED: 5,
    State.REVOKED: 5,
    State.EMERGENCY: 6,
    State.ARCHIVED: 7,
}
MAY_HAVE_GRANTS = frozenset({State.ACTIVE, State.EMERGENCY})
ENDED = frozenset({State.REJECTED, State.CLOSED, State.REVOKED, State.ARCHIVED})


class Role(StrEnum):
    """In what capacity somebody acts on a permit."""

    APPLICANT = "applicant"
    APPROVER = "approver"
    GAS_TESTER = "gas-tester"
    ATTENDANT = "attendant"
    ENTRANT = "entrant"
    RESCUE = "rescue"
    REGULATOR = "regulator"
    TECHNICIAN = "technician"
    SYSTEM = "system"  # the cloud or a gateway by itself


class Action(StrEnum):
    """What can be asked of a permit."""

    DRAFT = "draft"
    SUBMIT = "submit"
    REJECT = "reject"
    PREPARE = "prepare"  # accepted for preparation: the isolation list is issued
    ISOLATE = "isolate"  # an isolation is signed
    REOPEN = "reopen"  # an isolation is taken away again
    VENTILATE = "ventilate"  # ventilation begins, or stops
    TEST = "test"  # a gas test is recorded
    BRIEF = "brief"  # somebody signs the briefing
    COUNT_TOOLS = "count-tools"
    APPROVE = "approve"
    ACTIVATE = "activate"  # the attendant releases the lock
    ENTER = "enter"
    EXIT = "exit"
    COUNT_PEOPLE = "count-people"  # a roll call: these are inside
    SUSPEND = "suspend"
    SOS = "sos"
    RESUME = "resume"
    EMERGENCY = "emergency"
    END_RESCUE = "end-rescue"
    FINISH = "finish"  # the work is done: people come out
    WARN = "warn"  # the permit's end is near
    EXPIRE = "expire"
    BACK_TO_PREPARED = "back-to-prepared"  # the test is too old, or the interruption too long
    HAND_BACK = "hand-back"  # isolations are handed back
    LOCK = "lock"  # the lock said something
    GRANT = "grant"  # a grant was issued
    CLOSE = "close"  # the attendant first, then the approver
    REVOKE = "revoke"
    ARCHIVE = "archive"


class Cause(StrEnum):
    """Why a permit is suspended."""

    GAS = "gas"
    OXYGEN = "oxygen"
    STALE = "stale"  # a value older than its limit
    SENSOR = "sensor"  # faulty, or its calibration has lapsed
    VENTILATION = "ventilation"
    ATTENDANT = "attendant"  # no sign of the attendant
    HEADCOUNT = "headcount"
    UNLISTED = "unlisted"  # somebody entered who is not on the roster
    ISOLATION = "isolation"
    TAMPER = "tamper"
    SOS = "sos"
    SIMOPS = "simops"
    LINKED = "linked"  # a linked permit is suspended
    WEATHER = "weather"
    PERSON = "person"  # somebody decided it
    SIREN = "siren"  # the siren does not answer and the cloud is away


class TimeQuality(StrEnum):
    """How far a time is to be trusted."""

    SYNCED = "synced"  # disciplined by NTP or GPS
    FREE = "free"  # free-running since
    UNSET = "unset"  # never set
