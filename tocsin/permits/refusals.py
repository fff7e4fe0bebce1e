"""Why a request is refused. Stable words; `tocsin.permits.sentences` has one for each, made with the refusal's `args`."""

from __future__ import annotations

from enum import StrEnum


class PermitRefusal(StrEnum):
    """One reason. In brackets the names in `args`."""

    # what was asked
    WRONG_STATE = "wrong-state"  # [state, action]
    MALFORMED = "malformed"  # [action, wants]
    REASON_MISSING = "reason-missing"  # [action]
    RESUME_NEEDS_CLOUD = "resume-needs-cloud"
    ACTIVATE_NEEDS_CLOUD = "activate-needs-cloud"
    NEEDS_CLOUD = "needs-cloud"  # [action]
    GATEWAY_BEHIND = "gateway-behind"  # the gateway has not said that it knows the permit's state
    # who asked
    ROLE_NOT_HELD = "role-not-held"  # [person, role]
    ROLE_MAY_NOT = "role-may-not"  # [role, action]
    NOT_NAMED = "not-named"  # [person, role]: somebody else is named on this permit
    SAME_PERSON = "same-person"  # [person, role, other]: two roles that one person must not have
    UNKNOWN_PERSON = "unknown-person"  # [person]
    UNTRAINED = "untrained"  # [person]
    UNFIT = "unfit"  # [person]: the medical certificate has lapsed
    NOT_AT_SPACE = "not-at-space"  # [space]
    # the form
    FIELD_MISSING = "field-missing"  # [field]
    CHECKLIST_OPEN = "checklist-open"  # [item]
    EQUIPMENT_MISSING = "equipment-missing"  # [item]
    TOO_LONG = "too-long"  # [hours, limit]
    UNKNOWN_SPACE = "unknown-space"  # [space]
    UNKNOWN_TEMPLATE = "unknown-template"  # [template]
    LINK_UNKNOWN = "link-unknown"  # [permit]: no such permit at the site, or it has ended
    # the place
    SPACE_TAKEN = "space-taken"  # [permit]
    CONFLICT = "conflict"  # [permit, activity]
    ISOLATION_MISSING = "isolation-missing"  # [item]
    ISOLATION_UNKNOWN = "isolation-unknown"  # [item]
    PHOTO_MISSING = "photo-missing"  # [item]
    VENTILATION_OFF = "ventilation-off"
    VENTILATION_SHORT = "ventilation-short"  # [minutes, limit]
    HANDED_BACK = "handed-back"  # the isolations are no longer ours
    # the test
    TEST_MISSING = "test-missing"
    TEST_OLD = "test-old"  # [minutes, limit]
    TEST_BEFORE_SUSPENSION = "test-before-suspension"
    POINT_MISSING = "point-missing"  # [quantity, depth]
    TEST_ORDER = "test-order"  # [quantity, depth, other]
    LIMIT_EXCEEDED = "limit-exceeded"  # [quantity, value, unit, depth, limit]
    LIMIT_UNKNOWN = "limit-unknown"  # [quantity, unit]: the rules have none for it
    INSTRUMENT_UNKNOWN = "instrument-unknown"  # [instrument]
    CALIBRATION_LAPSED = "calibration-lapsed"  # [instrument]
    BUMP_OLD = "bump-old"  # [instrument, hours, limit]
    SECOND_INSTRUMENT_MISSING = "second-instrument-missing"  # [quantity, depth]
    INSTRUMENTS_DISAGREE = "instruments-disagree"  # [quantity, depth, value, other]
    # before and during work
    BRIEFING_UNSIGNED = "briefing-unsigned"  # [person]
    TOOLS_UNCOUNTED = "tools-uncounted"
    ALREADY_SIGNED = "already-signed"  # [person]
    NOT_YET = "not-yet"  # the permit begins later
    OVER = "over"  # the permit has ended
    BREACH = "breach"  # [cause, detail]: a live condition does not hold
    INTERRUPTED_TOO_LONG = "interrupted-too-long"  # [minutes, limit]
    ALREADY_INSIDE = "already-inside"  # [person]
    NOT_INSIDE = "not-inside"  # [person]
    UNLISTED = "unlisted"  # [person]
    NOT_RESCUE = "not-rescue"  # [person]: in an emergency only the rescue team goes in
    # the end
    STILL_INSIDE = "still-inside"  # [count]
    HEADCOUNT_UNKNOWN = "headcount-unknown"
    TOOLS_LEFT = "tools-left"  # [went_in, out]
    LOCK_OPEN = "lock-open"  # [lock]
    NOT_HANDED_BACK = "not-handed-back"
    ATTENDANT_FIRST = "attendant-first"  # the attendant has not yet said that all is clear
    WAS_ACTIVE = "was-active"  # too late to revoke: close it
    TOO_YOUNG = "too-young"  # [minutes, limit]: what the system wants to do is not due
    # grants
    NO_GRANTS_NOW = "no-grants-now"  # [state]
    GRANT_TOO_LONG = "grant-too-long"  # [minutes, limit]
    HOLDER_MAY_NOT = "holder-may-not"  # [person]
    NO_LIVE_GRANT = "no-live-grant"  # [lock]
    GRANT_DENIED = "grant-denied"  # [lock]
