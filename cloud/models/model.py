"""The life of one model sent to a gateway. Pure: (sent, news, now) -> sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tocsin.contract.messages import Event
from tocsin.contract.rollout import APPLIED, FELL_BACK, REFUSED

GRACE_NS = 10 * 1_000_000_000  # for an event on its way after its time
_STATES = {APPLIED: "applied", REFUSED: "refused", FELL_BACK: "fell-back"}
_NOT_AFTER = {"applied": ("fell-back",), "refused": ("applied", "fell-back")}  # late news


@dataclass(frozen=True, slots=True)
class Sent:
    """One model on its way to one gateway. Its state: sent, applied, refused, fell-back, replaced or expired."""

    id: str
    site: str
    gateway: str
    name: str
    version: str
    toml: str
    files: list[Mapping[str, object]] = field(repr=False)
    actor: str
    issued_ns: int
    expires_ns: int
    changed_ns: int
    state: str = "sent"
    text: str = ""
    reason: str = ""


def heard(sent: Sent, event: Event, received_ns: int) -> Sent | None:
    """It after an event of its gateway that names it; None when that is no news."""
    state, reason = _STATES.get(event.kind), event.data.get("reason")
    if event.gateway != sent.gateway or state is None:
        return None
    if sent.state == state or sent.state in _NOT_AFTER.get(state, ()):
        return None
    return replace(
        sent,
        state=state,
        text=event.text[:1000],
        reason=reason[:200] if isinstance(reason, str) else "",
        changed_ns=received_ns,
    )


def overdue(sent: Sent, now_ns: int) -> Sent | None:
    """It once nobody can take it any more; a late word still counts."""
    if sent.state != "sent" or now_ns < sent.expires_ns + GRACE_NS:
        return None
    return replace(sent, state="expired", text="the gateway took it not in time", changed_ns=now_ns)
