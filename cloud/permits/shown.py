"""A permit as the spine, the API and the feed tell it, and the alarms that stand for it. Pure."""

from __future__ import annotations

import msgspec

from cloud.alarms.silence import Condition
from cloud.permits.kept import Kept
from tocsin.permits.journal import Entry, entry_hash
from tocsin.permits.names import State
from tocsin.permits.permit import Permit

MEASUREMENT = "permit"
SUSPENDED, EMERGENCY, EXPIRED = "permit-suspended", "permit-emergency", "permit-expired"
_RULES = {
    State.SUSPENDED: SUSPENDED,
    State.EMERGENCY: EMERGENCY,
    State.EXPIRED: EXPIRED,
}


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
    """Which of a permit's alarms stand now. They are raised at its space, and end when it moves on."""
    why = permit.cause.value if permit.cause else "-"
    inside = ", ".join(sorted(permit.inside)) or "nobody inside"
    return [
        Condition(
            kept.site,
            kept.gateway,
            kept.space,
            MEASUREMENT,
            rule,
            permit.state is state,
            f"permit {kept.id}: {why}; {inside}" if permit.state is state else "",
        )
        for state, rule in _RULES.items()
    ]
