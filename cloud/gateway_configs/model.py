"""The life of one configuration sent to a gateway. Pure: (sent, news, now) -> sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tocsin.contract.messages import Event
from tocsin.errors import CommandRefusal

GRACE_NS = 10 * 1_000_000_000  # for an event on its way after its time
OPEN = ("sent", "applied")
_STATES = {
    "command.refused": "refused",
    "config.refused": "refused",
    "config.applied": "applied",
    "config.confirmed": "confirmed",
    "config.withdrawn": "withdrawn",
    "config.rolled-back": "rolled-back",
    "config.superseded": "superseded",
}
_NOT_AFTER: dict[str, tuple[str, ...]] = {  # late news of an earlier step
    "refused": ("applied", "confirmed", "rolled-back", "superseded", "withdrawn"),
    "applied": ("confirmed", "rolled-back", "superseded"),
    "confirmed": ("rolled-back", "superseded"),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One version. Its state: sent, applied (on trial), confirmed, refused, rolled-back, superseded, withdrawn, replaced or expired."""

    id: str
    kind: str
    site: str
    gateway: str
    version: int
    toml: str
    actor: str
    issued_ns: int
    expires_ns: int
    changed_ns: int
    state: str = "sent"
    text: str = ""
    reason: str = ""
    problems: Sequence[object] = ()

    @property
    def is_open(self) -> bool:
        """Whether something more is expected."""
        return self.state in OPEN


def heard(sent: Sent, event: Event, received_ns: int) -> Sent | None:
    """It after an event of its gateway that names it; None when that is no news."""
    state, reason = _STATES.get(event.kind), event.data.get("reason")
    if event.gateway != sent.gateway or state is None or reason == CommandRefusal.DUPLICATE:
        return None
    if sent.state == state or sent.state in _NOT_AFTER.get(state, ()):
        return None
    problems = event.data.get("problems")
    return replace(
        sent,
        state=state,
        text=event.text[:1000],
        reason=reason[:200] if isinstance(reason, str) else "",
        problems=problems[:50] if isinstance(problems, list) else [],
        changed_ns=received_ns,
    )


def overdue(sent: Sent, now_ns: int) -> Sent | None:
    """It once nobody can take it any more; a late word still counts."""
    if sent.state != "sent" or now_ns < sent.expires_ns + GRACE_NS:
        return None
    return replace(sent, state="expired", text="the gateway took it not in time", changed_ns=now_ns)
