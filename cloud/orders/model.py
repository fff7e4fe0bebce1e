"""The life of one command to a device. Pure: (order, news, now) -> order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tocsin.contract.messages import Event
from tocsin.contract.orders import ACCEPTED, DEVICE_COMMAND, DEVICE_CONFIRM, RESULT, Outcome, Scalar
from tocsin.errors import CommandRefusal

GRACE_NS = 10 * 1_000_000_000  # for an event on its way after the command's time
CARRYING_NS = 400 * 1_000_000_000  # the longest a gateway waits for a device's answer, and more
FINAL = frozenset(o.value for o in Outcome if o is not Outcome.ARMED)
NO_WORD = "no word from the gateway: nobody knows whether it was carried out"

State = Literal[
    "sent", "accepted", "armed", "done", "refused", "expired", "failed", "unknown"
]  # the last five end it


@dataclass(frozen=True, slots=True)
class Order:
    """One command. `told` is whether its gateway has told its outcome; without that the cloud's own view may change."""

    id: str
    kind: str
    site: str
    gateway: str
    device: str
    name: str
    args: Mapping[str, Scalar]
    actor: str
    issued_ns: int
    expires_ns: int
    changed_ns: int
    state: str = "sent"
    told: bool = False
    text: str = ""
    reason: str = ""
    answer: Mapping[str, object] | None = None
    duration_s: float | None = None
    code: str = ""
    confirm_until_ns: int | None = None
    confirm_by: str = ""
    confirms: str = ""
    confirmed_by: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something more is expected."""
        return self.state not in FINAL

    @property
    def is_confirmation(self) -> bool:
        """Whether it confirms another one."""
        return self.kind == DEVICE_CONFIRM


def heard(order: Order, event: Event, received_ns: int) -> Order | None:
    """The order after an event of its gateway that names it; None when that is no news."""
    if event.gateway != order.gateway or (order.told and not order.is_open):
        return None
    data = event.data
    if event.kind == ACCEPTED:
        if order.state not in ("sent", "armed"):
            return None
        return replace(order, state="accepted", changed_ns=received_ns)
    if event.kind == "command.refused":  # a gateway that knows no commands to devices
        outcome: Outcome = Outcome.REFUSED
    elif event.kind == RESULT and _text(data, "outcome") in set(Outcome):
        outcome = Outcome(str(data["outcome"]))
    else:
        return None
    reason = _text(data, "reason")
    if reason == CommandRefusal.DUPLICATE:
        return None
    answer, duration, until = (
        data.get("answer"),
        data.get("duration_s"),
        data.get("confirm_until_ns"),
    )
    return replace(
        order,
        state=outcome.value,
        # whoever may write to the gateway's topic can make it refuse a forgery of ours: the true result counts
        told=reason != CommandRefusal.BAD_SIGNATURE,
        text=event.text[:1000],
        reason=reason,
        answer=answer if isinstance(answer, dict) else None,
        duration_s=float(duration) if isinstance(duration, int | float) else None,
        code=_text(data, "code"),
        confirm_until_ns=until if isinstance(until, int) and 0 <= until < 1 << 63 else None,
        confirm_by=_text(data, "confirm_by"),
        confirmed_by=_text(data, "confirmed_by"),
        changed_ns=received_ns,
    )


def overdue(order: Order, now_ns: int) -> Order | None:
    """The order once its gateway should have told of it and has not; a late word still counts."""
    if not order.is_open:
        return None
    until_ns = {
        "sent": order.expires_ns,
        "accepted": order.expires_ns + CARRYING_NS,
        "armed": order.confirm_until_ns or order.expires_ns,
    }[order.state]
    if now_ns < until_ns + GRACE_NS:
        return None
    return replace(order, state="unknown", told=False, text=NO_WORD, changed_ns=now_ns)


def is_order(kind: str) -> bool:
    """Whether a command of this kind is for a device."""
    return kind in (DEVICE_COMMAND, DEVICE_CONFIRM)


def _text(data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    return value[:200] if isinstance(value, str) else ""
