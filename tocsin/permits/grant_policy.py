"""Whether a grant may be issued, renewed or used now, and until when; and whether a lock may be locked again."""

from __future__ import annotations

import msgspec

from tocsin.permits import gates
from tocsin.permits.context import Context
from tocsin.permits.facts import GrantNoted
from tocsin.permits.intervals import GRANT, NS, RESCUE_GRANT_S, seconds
from tocsin.permits.names import MAY_HAVE_GRANTS, Role, State
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why


class GrantUntil(msgspec.Struct, frozen=True):
    """A grant may be issued and ends then at the latest (Unix ns). `rescue`: with the rescue bit."""

    exp_ns: int
    rescue: bool = False


def may_issue(
    permit: Permit, context: Context, account: str, now_ns: int, *, rescue: bool = False
) -> GrantUntil | Refused:
    """ACTIVE: an attendant of the permit, all live conditions good, at most 30 min and not past the permit's end.

    `rescue`, ACTIVE or EMERGENCY: whoever holds that role, at most 24 h, whatever the conditions: made before it is needed, for
    a cloud that is away then, and used in an EMERGENCY only. The same answer for a first grant and for its renewal.
    """
    form, person = permit.form, context.people.get(account)
    if permit.state not in MAY_HAVE_GRANTS or form is None:
        return refused(Why.NO_GRANTS_NOW, state=permit.state.value)
    if rescue:
        if person is None or Role.RESCUE not in person.roles:
            return refused(Why.HOLDER_MAY_NOT, context.rules.row("no-blind-rescue"), person=account)
        return GrantUntil(now_ns + int(RESCUE_GRANT_S * NS), rescue=True)
    if permit.state is State.EMERGENCY:
        return refused(Why.NO_GRANTS_NOW, state=permit.state.value)
    if person is None or Role.ATTENDANT not in person.roles or account not in form.attendants:
        return refused(Why.HOLDER_MAY_NOT, person=account)
    if wrong := gates.in_time(form, now_ns) or gates.live(permit, context, now_ns):
        return wrong
    limit_s, _ = seconds(context.rules, GRANT)
    return GrantUntil(min(now_ns + int(limit_s * NS), form.until_ns))


def noted(permit: Permit, said: GrantNoted, context: Context, now_ns: int) -> Refused | None:
    """A grant that is to be written into the journal was one that the policy allows."""
    answer = may_issue(permit, context, said.account, now_ns, rescue=said.rescue)
    if isinstance(answer, Refused):
        return answer
    if said.exp_ns > answer.exp_ns:
        minutes = (said.exp_ns - now_ns) / NS / 60
        limit = (answer.exp_ns - now_ns) / NS / 60
        return refused(Why.GRANT_TOO_LONG, minutes=minutes, limit=limit)
    return None


def may_unlock(
    permit: Permit, context: Context, lock: str, holder: str, now_ns: int
) -> GrantNoted | Refused:
    """The live grant by which `holder` may open `lock` now; with the cloud away this is all that a gateway may do."""
    if permit.state not in MAY_HAVE_GRANTS or permit.form is None:
        return refused(Why.NO_GRANTS_NOW, state=permit.state.value)
    rescue = permit.state is State.EMERGENCY
    mine = [g for g in permit.grants if (g.lock, g.holder, g.rescue) == (lock, holder, rescue)]
    if not any(g.exp_ns > now_ns for g in mine):
        return refused(Why.NO_LIVE_GRANT, lock=lock)
    usable = [g for g in mine if g.exp_ns > now_ns and g.cti not in context.denied]
    if not usable:
        return refused(Why.GRANT_DENIED, lock=lock)
    if not rescue:
        wrong = gates.in_time(permit.form, now_ns) or gates.live(permit, context, now_ns)
        if wrong:
            return wrong
    return max(reversed(usable), key=lambda g: g.exp_ns)  # the newest: its key is the newest


def may_relock(permit: Permit) -> Refused | None:
    """Nobody is locked in: not while somebody is inside, nor while nobody knows."""
    return gates.empty(permit)
