"""What the cloud or a gateway must ask of a permit by itself now. Ask it at least every second while a permit is in force."""

from __future__ import annotations

from tocsin.permits.context import Context
from tocsin.permits.facts import Noted
from tocsin.permits.intervals import NS, TEST_AGE, seconds
from tocsin.permits.journal import CLOUD
from tocsin.permits.live import breaches
from tocsin.permits.names import Action, Role, State
from tocsin.permits.permit import EXPIRY_WARNING, Permit
from tocsin.permits.requests import Request
from tocsin.permits.transitions import TRANSITIONS

WARN_MINUTES = (30, 10)


def due(permit: Permit, context: Context, now_ns: int) -> Request | None:
    """The next request of the system itself; decide it, append it, and ask again until there is none."""
    form = permit.form
    if form is None:
        return None
    expires = permit.state in TRANSITIONS[Action.EXPIRE].sources
    if permit.state is State.CLOSING and not permit.occupied:
        expires = False
    if expires and now_ns >= form.until_ns:
        return _by_itself(context, Action.EXPIRE, "the permit's time is over")
    if permit.state in TRANSITIONS[Action.SUSPEND].sources:
        found = breaches(permit, context, now_ns)
        if permit.state is State.CLOSING and not permit.occupied:
            found = []  # nobody is left to warn
        if found:
            reason = f"{found[0].cause.value} {found[0].detail}".strip()
            return Request(
                Action.SUSPEND, context.source, Role.SYSTEM, reason, cause=found[0].cause
            )
    if permit.state in TRANSITIONS[Action.WARN].sources:
        left_s = (form.until_ns - now_ns) / NS
        near = [m for m in WARN_MINUTES if 0 < left_s <= m * 60]
        if near and str(min(near)) not in permit.warned:
            return _by_itself(context, Action.WARN, "", Noted(EXPIRY_WARNING, str(min(near))))
    ready = permit.state in (State.TESTED, State.APPROVED) and not permit.occupied
    if context.source == CLOUD and ready and permit.test is not None:
        limit_s, _ = seconds(context.rules, TEST_AGE)
        if now_ns - permit.test.at_ns >= limit_s * NS:
            return _by_itself(context, Action.BACK_TO_PREPARED, "the gas test is too old")
    return None


def _by_itself(context: Context, action: Action, reason: str, said: Noted | None = None) -> Request:
    return Request(action, context.source, Role.SYSTEM, reason, said)
