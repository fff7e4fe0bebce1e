"""Every alarm rule of a gateway with its state: what the pipeline, the control socket and the outputs share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from edge.pipeline import alarms
from edge.pipeline.alarms import AlarmState, NewId, Site, Watch
from edge.pipeline.rules import AlarmRule
from tocsin.contract.drafts import AlarmDraft
from tocsin.errors import AlarmRefusal, AlarmRefusedError

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[AlarmState])


class _Entry:
    __slots__ = ("rule", "site", "state", "watch")

    def __init__(self, rule: AlarmRule, site: Site) -> None:
        self.rule, self.site = rule, site
        self.state = AlarmState(rule.device, rule.name)
        self.watch = Watch()


class AlarmBoard:
    """All rules by (device, rule name). `orphans` keeps active states whose rule left the configuration."""

    def __init__(self, rules: Iterable[tuple[AlarmRule, Site]], new_id: NewId) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._new_id = new_id
        self.orphans: list[AlarmState] = []
        self.replace(rules)

    def replace(self, rules: Iterable[tuple[AlarmRule, Site]]) -> None:
        """Judge by these rules from now on. States stay with their rule's name, also when its limits move."""
        before = self._entries
        self._entries = {rule.key: _Entry(rule, site) for rule, site in rules}
        waiting = {(state.device, state.rule): state for state in self.orphans}
        waiting |= {key: e.state for key, e in before.items() if e.state.active}
        for key, entry in self._entries.items():
            entry.state = waiting.pop(key, entry.state)
            former = before.get(key)
            if former is not None and former.rule == entry.rule:
                entry.watch = former.watch
            elif former is not None and former.rule.quantity == entry.rule.quantity:
                entry.watch = Watch(former.watch.known)  # on-delays begin anew
        self.orphans = list(waiting.values())

    def restore(self, saved: bytes) -> None:
        """Take up the states `dump` wrote.

        Raises:
            msgspec.DecodeError: not such bytes.
        """
        for state in _decoder.decode(saved):
            entry = self._entries.get((state.device, state.rule))
            if entry is not None:
                entry.state = state
            elif state.active:
                self.orphans.append(state)

    def dump(self) -> bytes:
        """Every open alarm, as JSON."""
        return _encoder.encode([*self.active(), *self.orphans])

    def kept(self, keys: Collection[tuple[str, str]] | None = None) -> dict[str, str]:
        """By a name of each rule its open state as JSON, "" when it is not open; of all open ones, or of these rules."""
        if keys is None:
            found = [*self.active(), *self.orphans]
        else:
            found = [self._entries[key].state for key in keys if key in self._entries]
        return {
            f"{s.device}\t{s.rule}": _encoder.encode(s).decode() if s.active else "" for s in found
        }

    def active(self) -> list[AlarmState]:
        """Open alarms in the order of the rules."""
        return [e.state for e in self._entries.values() if e.state.active]

    def rule(self, state: AlarmState) -> AlarmRule:
        """The rule of a state of `active`."""
        return self._entries[state.device, state.rule].rule

    def observe(
        self,
        key: tuple[str, str],
        value: float | None,
        quality: int,
        *,
        t_ns: int,
        mono_ns: int,
    ) -> AlarmDraft | None:
        """Judge one value by one rule; by none if it has left meanwhile."""
        e = self._entries.get(key)
        if e is None:
            return None
        e.state, e.watch, draft = alarms.observe(
            e.rule,
            e.state,
            e.watch,
            value=value,
            quality=quality,
            t_ns=t_ns,
            mono_ns=mono_ns,
            site=e.site,
            new_id=self._new_id,
        )
        return draft

    def tick(self, t_ns: int, mono_ns: int) -> list[AlarmDraft]:
        """What the mere passing of time raises."""
        drafts: list[AlarmDraft] = []
        for e in self._entries.values():
            e.state, draft = alarms.tick(
                e.rule,
                e.state,
                e.watch,
                t_ns=t_ns,
                mono_ns=mono_ns,
                site=e.site,
                new_id=self._new_id,
            )
            if draft is not None:
                drafts.append(draft)
        return drafts

    def near(self, key: tuple[str, str], value: float | None) -> bool:
        """Whether the rule wants every row of this value: alarm open, on-delay running, or inside the hysteresis."""
        e = self._entries.get(key)
        if e is None:
            return False
        if e.state.active or e.watch.since1 is not None:
            return True
        return value is not None and e.rule.held(1, value) > 0

    def lose(self, device: str) -> None:
        """The device no longer answers: its values are unknown. Clears nothing."""
        for e in self._entries.values():
            if e.rule.device == device:
                e.watch = msgspec.structs.replace(e.watch, known=False)

    def acknowledge(self, occurrence: str, *, actor: str, note: str, t_ns: int) -> AlarmDraft:
        """Someone has seen the alarm.

        Raises:
            AlarmRefusedError: unknown, no name, or already acknowledged.
        """
        e = self._find(occurrence)
        e.state, draft = alarms.acknowledge(
            e.rule, e.state, e.site, actor=actor, note=note, t_ns=t_ns
        )
        return draft

    def reset(self, occurrence: str, *, actor: str, note: str, t_ns: int) -> AlarmDraft:
        """End a latched alarm.

        Raises:
            AlarmRefusedError: unknown, no name, still beyond its limit, value unknown, or not acknowledged.
        """
        e = self._find(occurrence)
        e.state, draft = alarms.reset(
            e.rule, e.state, e.watch, e.site, actor=actor, note=note, t_ns=t_ns
        )
        return draft

    def _find(self, occurrence: str) -> _Entry:
        for e in self._entries.values():
            if occurrence and e.state.occurrence == occurrence:
                return e
        raise AlarmRefusedError(
            AlarmRefusal.UNKNOWN_ALARM,
            f"no active alarm {occurrence!r} at this gateway",
            hint="`tocsin edge alarms` lists them",
        )


def sounding(states: Sequence[AlarmState], *, min_level: int, until_ended: bool) -> bool:
    """Whether an output that follows alarms from `min_level` is on."""
    return any(s.level >= min_level and (until_ended or not s.acknowledged) for s in states)
