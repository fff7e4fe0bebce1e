"""Simultaneous operations: other permits of the site that get in the way of this one."""

from __future__ import annotations

import msgspec

from tocsin.permits.context import Context, Other
from tocsin.permits.names import ENDED, IN_FORCE
from tocsin.permits.outcomes import Refused, refused
from tocsin.permits.permit import Permit
from tocsin.permits.refusals import PermitRefusal as Why


class Conflict(msgspec.Struct, frozen=True):
    """Another permit and the activity that does not go together with this one."""

    permit: str
    activity: str


def conflicts(
    permit: Permit, context: Context, now_ns: int, *, in_force: bool = False
) -> list[Conflict]:
    """Permits here or nearby, at the same time, with an activity that one of the two hazard templates excludes.

    With `in_force` only those whose work is going on now.
    """
    if permit.form is None or context.space is None or context.template is None:
        return []
    nearby = {context.space.id, *context.space.near}
    found = []
    for other in context.others:
        if other.permit == permit.id or other.space not in nearby:
            continue
        if in_force and other.state not in IN_FORCE:
            continue
        if not in_force and not _overlap(permit, other, now_ns):
            continue
        clash = sorted(
            set(context.template.conflicts) & set(other.activities)
            | set(other.conflicts) & set(permit.form.activities)
        )
        found += [Conflict(other.permit, activity) for activity in clash]
    return found


def _overlap(permit: Permit, other: Other, now_ns: int) -> bool:
    if permit.form is None or other.state in ENDED:
        return False
    until = max(other.until_ns, now_ns) if other.state in IN_FORCE else other.until_ns
    return other.from_ns < permit.form.until_ns and permit.form.from_ns < until


def space_free(permit: Permit, context: Context) -> Refused | None:
    """No other permit is in force on this space."""
    if context.space is None:
        return None
    for other in context.others:
        held = other.space == context.space.id and other.state in IN_FORCE
        if held and other.permit != permit.id:
            return refused(Why.SPACE_TAKEN, permit=other.permit)
    return None
