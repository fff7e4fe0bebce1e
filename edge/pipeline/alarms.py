"""The two-level alarm of one quantity: (state, rule, value, now) -> (state, draft). Pure; the state survives restarts.

Good and uncertain values raise and clear. A bad one never clears; it raises only when it is out of range
(a gas head beyond its span has met gas). An absent value changes nothing but what is known.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edge.pipeline.rules import AlarmRule
from tocsin.contract.drafts import AlarmDraft
from tocsin.contract.messages import AlarmChange
from tocsin.contract.quality import Quality, Severity, severity
from tocsin.errors import AlarmRefusal, AlarmRefusedError

NewId = Callable[[int], str]


class AlarmState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule's state. `occurrence` is empty while there is no alarm; `zone` is 0 inside, 1 or 2 beyond."""

    device: str
    rule: str
    occurrence: str = ""
    level: int = 0  # the level it last stood at; stays while a latched alarm has returned
    zone: int = 0
    acknowledged: bool = False
    raised_ns: int = 0
    changed_ns: int = 0
    repeats: int = 0
    value: float | None = None
    actor: str = ""

    @property
    def active(self) -> bool:
        """Whether an occurrence is open."""
        return bool(self.occurrence)


class Watch(msgspec.Struct, frozen=True):
    """What a rule knows besides its alarm; forgotten at a restart. `since` is the monotonic start of each on-delay.

    `value` is the last one beyond a limit, for an on-delay that ends between two samples.
    """

    known: bool = False
    since1: int | None = None
    since2: int | None = None
    value: float | None = None


class Site(msgspec.Struct, frozen=True):
    """Where a rule looks: what its messages say of the quantity."""

    measurement: str
    unit: str


def observe(
    rule: AlarmRule,
    state: AlarmState,
    watch: Watch,
    *,
    value: float | None,
    quality: int,
    t_ns: int,
    mono_ns: int,
    site: Site,
    new_id: NewId,
) -> tuple[AlarmState, Watch, AlarmDraft | None]:
    """Judge one value."""
    bad = severity(quality) is Severity.BAD
    if value is None:
        return state, msgspec.structs.replace(watch, known=False) if quality else watch, None
    over_range = quality == Quality.RANGE
    if bad and not over_range:
        return state, msgspec.structs.replace(watch, known=False), None
    watch = _watched(watch, rule.zone(value), value, mono_ns, known=not bad)
    reached = _reached(rule, watch, mono_ns)
    held = rule.held(state.zone, value) if not bad else state.zone
    zone = max(reached, held)
    if zone == state.zone:
        return state, watch, None
    after = _moved(rule, state, zone, value, t_ns, new_id)
    draft = _draft(rule, state, after, site, t_ns)
    if not after.zone and not rule.latch:
        after = AlarmState(rule.device, rule.name)
    return after, watch, draft


def tick(
    rule: AlarmRule,
    state: AlarmState,
    watch: Watch,
    *,
    t_ns: int,
    mono_ns: int,
    site: Site,
    new_id: NewId,
) -> tuple[AlarmState, AlarmDraft | None]:
    """Time has passed without a value: an on-delay may have ended. A value that was lost meanwhile still counts."""
    if watch.value is None or _reached(rule, watch, mono_ns) <= state.zone:
        return state, None
    zone = _reached(rule, watch, mono_ns)
    after = _moved(rule, state, zone, watch.value, t_ns, new_id)
    return after, _draft(rule, state, after, site, t_ns)


def _watched(watch: Watch, target: int, value: float, mono_ns: int, *, known: bool) -> Watch:
    """The on-delays after a value in zone `target`."""
    if target == 0:
        settled = watch.since1 is None and watch.known is known
        return watch if settled else Watch(known)
    since1 = watch.since1 if watch.since1 is not None else mono_ns
    since2 = (watch.since2 if watch.since2 is not None else mono_ns) if target >= 2 else None
    return Watch(known, since1, since2, value)


def _reached(rule: AlarmRule, watch: Watch, mono_ns: int) -> int:
    """The level whose on-delay has passed."""
    if watch.since2 is not None and mono_ns - watch.since2 >= rule.on_delay_ns:
        return 2
    if watch.since1 is not None and mono_ns - watch.since1 >= rule.on_delay_ns:
        return 1
    return 0


def _moved(
    rule: AlarmRule, state: AlarmState, zone: int, value: float, t_ns: int, new_id: NewId
) -> AlarmState:
    if not state.active:
        return AlarmState(
            rule.device,
            rule.name,
            occurrence=new_id(t_ns),
            level=zone,
            zone=zone,
            raised_ns=t_ns,
            changed_ns=t_ns,
            value=value,
        )
    worse = zone > state.zone
    return msgspec.structs.replace(
        state,
        zone=zone,
        level=zone or state.level,
        acknowledged=state.acknowledged and not worse,
        actor="" if worse else state.actor,
        changed_ns=t_ns,
        repeats=state.repeats + (1 if worse and not state.zone else 0),
        value=value,
    )


def _draft(
    rule: AlarmRule, before: AlarmState, after: AlarmState, site: Site, t_ns: int
) -> AlarmDraft:
    draft = describe(rule, after, site, _change(before, after), t_ns)
    if draft.change is AlarmChange.REPEATED:
        return msgspec.structs.replace(draft, first_ns=after.raised_ns, last_ns=t_ns)
    return draft


def _change(before: AlarmState, after: AlarmState) -> AlarmChange:
    if not before.active:
        return AlarmChange.RAISED
    if not after.zone:
        return AlarmChange.RETURNED
    if not before.zone:
        return AlarmChange.REPEATED
    return AlarmChange.ESCALATED if after.zone > before.zone else AlarmChange.DEESCALATED


def describe(
    rule: AlarmRule,
    state: AlarmState,
    site: Site,
    change: AlarmChange,
    t_ns: int,
    *,
    actor: str = "",
    note: str = "",
) -> AlarmDraft:
    """The message of a change, from the state after it."""
    return AlarmDraft(
        alarm=state.occurrence,
        device=rule.device,
        measurement=site.measurement,
        quantity=rule.quantity,
        rule=rule.name,
        change=change,
        level=state.level,
        t=t_ns,
        value=state.value,
        unit=site.unit,
        limit=rule.limit(state.level),
        latched=rule.latch,
        acknowledged=state.acknowledged,
        beyond=state.zone > 0,
        actor=actor,
        note=note,
        first_ns=state.raised_ns,
        n=1,
    )


def acknowledge(
    rule: AlarmRule, state: AlarmState, site: Site, *, actor: str, note: str, t_ns: int
) -> tuple[AlarmState, AlarmDraft]:
    """Someone has seen it.

    Raises:
        AlarmRefusedError: no name, no such alarm, or already acknowledged.
    """
    _named(actor)
    _open(state)
    if state.acknowledged:
        raise AlarmRefusedError(
            AlarmRefusal.ALREADY_ACKNOWLEDGED, f"{state.actor or 'someone'} has acknowledged it"
        )
    after = msgspec.structs.replace(state, acknowledged=True, actor=actor, changed_ns=t_ns)
    return after, describe(
        rule, after, site, AlarmChange.ACKNOWLEDGED, t_ns, actor=actor, note=note
    )


def reset(
    rule: AlarmRule,
    state: AlarmState,
    watch: Watch,
    site: Site,
    *,
    actor: str,
    note: str,
    t_ns: int,
) -> tuple[AlarmState, AlarmDraft]:
    """End a latched alarm.

    Raises:
        AlarmRefusedError: no name, none open, still beyond its limit, value bad or unknown, or not acknowledged.
    """
    _named(actor)
    _open(state)
    if state.zone:
        raise AlarmRefusedError(
            AlarmRefusal.STILL_BEYOND_LIMIT,
            f"{rule.device} {rule.quantity} is still beyond its limit",
            hint="reset it once the value is back",
        )
    if not watch.known:
        raise AlarmRefusedError(
            AlarmRefusal.VALUE_UNKNOWN,
            f"the last value of {rule.device} {rule.quantity} is bad or unknown",
            hint="reset it once the device answers with a good value",
        )
    if not state.acknowledged:
        raise AlarmRefusedError(
            AlarmRefusal.NOT_ACKNOWLEDGED, "acknowledge it first", hint="then reset it"
        )
    draft = describe(rule, state, site, AlarmChange.RESET, t_ns, actor=actor, note=note)
    return AlarmState(rule.device, rule.name), draft


def _named(actor: str) -> None:
    if not actor.strip():
        raise AlarmRefusedError(AlarmRefusal.NO_NAME, "who is asking? a name is needed")


def _open(state: AlarmState) -> None:
    if not state.active:
        raise AlarmRefusedError(AlarmRefusal.NOT_ACTIVE, "this alarm is not active")
