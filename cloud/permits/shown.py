"""A permit as the spine, the API and the feed tell it, and the alarms that stand for it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from cloud.alarms.silence import Condition
from cloud.permits.kept import Kept
from tocsin.permits.journal import Entry, entry_hash
from tocsin.permits.names import Cause, State
from tocsin.permits.permit import Permit

MEASUREMENT = "permit"
SUSPENDED, EMERGENCY, EXPIRED = "permit-suspended", "permit-emergency", "permit-expired"
_RULES = {
    State.SUSPENDED: SUSPENDED,
    State.EMERGENCY: EMERGENCY,
    State.EXPIRED: EXPIRED,
}
_LEVELS = {State.EMERGENCY: 2}
NOBODY, UNKNOWN = "nobody inside", "headcount unknown"
_WHY = re.compile(r"permit ([^:; ]+): ([^; ]+)(?: at [^; ]+)?; (.*)", re.DOTALL)


def permit_row(kept: Kept, permit: Permit, now_ns: int, *, watched: bool) -> dict[str, object]:
    """The documented object. `watched`: its gateway can be told of it."""
    return {
        "id": kept.id,
        "site": kept.site,
        "space": kept.space,
        "space_name": kept.basis.space.name,
        "gateway": kept.gateway,
        "state": permit.state.value,
        "occupied": permit.occupied,
        "changed_ns": kept.changed_ns,
        "until_ns": permit.form.until_ns if permit.form else None,
        "outstanding_until_ns": permit.outstanding_until_ns(now_ns),
        "ended_ns": kept.ended_ns,
        "keep_until_ns": kept.keep_until_ns,
        "rules": kept.basis.rules.name,
        "watched": watched,
        "fault": "",
        "permit": msgspec.to_builtins(permit, order="deterministic"),
    }


def entry_row(entry: Entry) -> dict[str, object]:
    """An entry with its hash."""
    return {"hash": entry_hash(entry), "entry": msgspec.to_builtins(entry)}


def standing(kept: Kept, permit: Permit) -> list[Condition]:
    """Which of a permit's alarms stand now. They are raised at its space, each time anew, and end when it moves on."""
    occasion = f"permit {kept.id}: {permit.cause.value if permit.cause else '-'}"
    if permit.cause is Cause.SOS:  # each call is one, also where the last one is still heard
        called = datetime.fromtimestamp(permit.since_ns // 10**9, UTC)
        occasion += f" at {called:%Y-%m-%dT%H:%M:%SZ}"
    why = f"{occasion}; {_inside(permit)}"
    return [
        Condition(
            kept.site,
            kept.gateway,
            kept.space,
            MEASUREMENT,
            rule,
            permit.state is state,
            why if permit.state is state else "",
            occasion,
            _LEVELS.get(state, 1),
        )
        for state, rule in _RULES.items()
    ]


def _inside(permit: Permit) -> str:
    if not permit.headcount_known:
        return UNKNOWN
    return ", ".join(sorted(permit.inside)) or NOBODY


@dataclass(frozen=True, slots=True)
class Stop:
    """What an alarm of a permit says. `inside` None: nobody knows; `cause` "": none was told."""

    permit: str
    cause: str
    inside: tuple[str, ...] | None


def stop_of(why: str) -> Stop | None:
    """What `standing` wrote; None where it is none of a permit's."""
    told = _WHY.fullmatch(why)
    if told is None:
        return None
    permit, cause, inside = told.groups()
    people = None if inside == UNKNOWN else () if inside == NOBODY else tuple(inside.split(", "))
    return Stop(permit, "" if cause == "-" else cause, people)
