"""What an alarm is, and how each event changes it. Pure: (state, event) -> state.

Transitions of a gateway may come twice and in any order: every field is taken from the event with the greatest place
(`stream:seq`) that says something of it, so the same set of events always ends in the same state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from msgspec import structs

from tocsin.contract.messages import Alarm, AlarmChange
from tocsin.errors import AlarmRefusal, AlarmRefusedError

Origin = Literal["gateway", "cloud"]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One alarm from its raising to its end. `*_key`: place of the event that said it; "" is none."""

    alarm: str
    origin: Origin
    site: str
    gateway: str
    device: str
    measurement: str
    quantity: str
    rule: str
    raised_ns: int
    changed_ns: int
    level: int = 1
    max_level: int = 1
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    latched: bool = False
    beyond: bool = True
    acknowledged: bool = False
    repeats: int = 0
    actor: str = ""
    note: str = ""
    acknowledged_ns: int | None = None
    returned_ns: int | None = None
    reset_by: str = ""
    reset_ns: int | None = None
    closed_ns: int | None = None  # ended here because its gateway does not know it any more
    superseded: bool = False  # the same rule raised a newer alarm
    first_key: str = ""
    head_key: str = ""
    ack_key: str = ""
    return_key: str = ""
    reset_key: str = ""
    evidence: str = ""  # SHA-256 of the first picture that shows it

    @property
    def active(self) -> bool:
        """Whether someone still has to do something about it."""
        if self.superseded or self.reset_ns is not None or self.closed_ns is not None:
            return False
        return self.beyond or self.latched or not self.acknowledged

    @property
    def ended_ns(self) -> int | None:
        """When it ended."""
        if self.active:
            return None
        ends = (self.reset_ns, self.closed_ns)
        told = [t for t in ends if t is not None]
        return told[0] if told else max(self.returned_ns or 0, self.acknowledged_ns or 0) or None


def place(event: Alarm) -> str:
    """Sorts like (stream, seq)."""
    return f"{event.stream}:{event.seq:019d}"


def believed(event: Alarm, received_ns: int) -> Alarm:
    """The transition at a time that can be: a gateway whose clock was never set knows none, so it is when it came."""
    if event.clock.state != "unset":
        return event
    return structs.replace(event, t=received_ns, first_ns=None, last_ns=None)


def mirrored(state: Occurrence | None, event: Alarm) -> Occurrence:
    """The alarm after a transition at its gateway."""
    key = place(event)
    first_ns = event.t if event.first_ns is None else min(event.first_ns, event.t)
    if state is None:
        state = Occurrence(
            alarm=event.alarm,
            origin="gateway",
            site=event.site,
            gateway=event.gateway,
            device=event.device,
            measurement=event.measurement,
            quantity=event.quantity,
            rule=event.rule,
            raised_ns=first_ns,
            changed_ns=event.t,
            first_key=key,
        )
    state = replace(
        state,
        raised_ns=min(state.raised_ns, first_ns),
        first_key=min(state.first_key, key),
        max_level=max(state.max_level, event.level),
        repeats=state.repeats + max(event.n - 1, 0),
        evidence=state.evidence or event.evidence,
    )
    if key > state.head_key:
        state = replace(
            state,
            head_key=key,
            level=event.level,
            value=event.value,
            unit=event.unit,
            limit=event.limit,
            latched=event.latched,
            beyond=event.beyond,
            acknowledged=event.acknowledged,
            changed_ns=event.t,
        )
    if event.change is AlarmChange.ACKNOWLEDGED and key > state.ack_key:
        state = replace(
            state, ack_key=key, actor=event.actor, note=event.note, acknowledged_ns=event.t
        )
    if event.change is AlarmChange.RETURNED and key > state.return_key:
        state = replace(state, return_key=key, returned_ns=event.t)
    if event.change is AlarmChange.RESET and key > state.reset_key:
        state = replace(state, reset_key=key, reset_by=event.actor, reset_ns=event.t)
    return state


def check_acknowledge(state: Occurrence, actor: str) -> None:
    """Whether an operator may acknowledge it.

    Raises:
        AlarmRefusedError: no name, ended, or somebody has.
    """
    _check(state, actor)
    if state.acknowledged:
        raise AlarmRefusedError(
            AlarmRefusal.ALREADY_ACKNOWLEDGED, f"{state.actor or 'someone'} has acknowledged it"
        )


def check_reset(state: Occurrence, actor: str) -> None:
    """Whether an operator may reset it.

    Raises:
        AlarmRefusedError: no name, ended, still beyond its limit, or not acknowledged.
    """
    _check(state, actor)
    if state.beyond:
        raise AlarmRefusedError(
            AlarmRefusal.STILL_BEYOND_LIMIT,
            f"{state.quantity or state.rule} of {state.device or state.gateway} is still beyond its limit"
            + (f" ({state.value:g} {state.unit})" if state.value is not None else ""),
            hint="an alarm can be reset once its cause is gone",
        )
    if not state.acknowledged:
        raise AlarmRefusedError(
            AlarmRefusal.NOT_ACKNOWLEDGED, "acknowledge it first", hint="then reset it"
        )


def _check(state: Occurrence, actor: str) -> None:
    if not actor.strip():
        raise AlarmRefusedError(AlarmRefusal.NO_NAME, "who is asking? a name is needed")
    if not state.active:
        raise AlarmRefusedError(AlarmRefusal.NOT_ACTIVE, "this alarm has ended")


def acknowledged_here(state: Occurrence, actor: str, note: str, t_ns: int) -> Occurrence:
    """An alarm that needs no gateway's consent: raised by the cloud, or ended at its gateway."""
    return replace(
        state, acknowledged=True, actor=actor, note=note, acknowledged_ns=t_ns, changed_ns=t_ns
    )


def is_local(state: Occurrence) -> bool:
    """Whether the cloud alone decides: its own alarms, and a gateway's that returned without latch (ended there)."""
    return state.origin == "cloud" or (not state.beyond and not state.latched)


def raised_by_cloud(
    state: Occurrence | None,
    *,
    alarm: str,
    site: str,
    gateway: str,
    device: str,
    measurement: str,
    rule: str,
    t_ns: int,
    level: int = 1,
) -> Occurrence:
    """A condition the cloud sees itself; an alarm still open from last time is raised again."""
    if state is not None:
        return replace(
            state, beyond=True, acknowledged=False, changed_ns=t_ns, repeats=state.repeats + 1
        )
    return Occurrence(
        alarm=alarm,
        origin="cloud",
        site=site,
        gateway=gateway,
        device=device,
        measurement=measurement,
        quantity="",
        rule=rule,
        raised_ns=t_ns,
        changed_ns=t_ns,
        level=level,
        max_level=level,
    )


def returned_by_cloud(state: Occurrence, t_ns: int) -> Occurrence:
    """The condition is gone; the alarm stays until somebody acknowledged it."""
    return replace(state, beyond=False, returned_ns=t_ns, changed_ns=t_ns)
