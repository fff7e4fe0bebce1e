"""A permit as its pages show it: people, gas, time left, journal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from cloud.api.overview import DeviceView, ValueView
from cloud.api.rows import Row, row_of, text, whole
from cloud.console.permit_words import PermitWords
from tocsin.permits.facts import GrantNoted, LockTold
from tocsin.permits.gas_limits import beyond
from tocsin.permits.gas_test import in_order_of_test
from tocsin.permits.journal import Entry, faults
from tocsin.permits.names import BEFORE_ACTIVE, IN_FORCE, State
from tocsin.permits.permit import Permit
from tocsin.permits.rule_rows import Rules, Topic
from tocsin.permits.space import Space, Template

MIN_NS = 60 * 10**9
SOON_MIN = 30  # minutes left from which the countdown is marked
_RANK = {
    State.EMERGENCY: 0,
    State.SUSPENDED: 1,
    State.EXPIRED: 1,
    State.CLOSING: 3,
    State.ACTIVE: 3,
}
MARKS = {
    State.EMERGENCY: "alarm2",
    State.SUSPENDED: "alarm2",
    State.EXPIRED: "alarm2",
    State.CLOSING: "alarm1",
    State.ACTIVE: "ok",
}


@dataclass(frozen=True, slots=True)
class PermitView:
    """One permit. `space` and `template` are of the ledger as it is now; None where they are gone."""

    id: str
    site: str
    gateway: str
    space_name: str
    changed_ns: int
    outstanding_ns: int | None
    rules: str
    watched: bool
    permit: Permit
    space: Space | None
    template: Template | None

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.permit.state

    @property
    def mark(self) -> str:
        """The mark beside the state's word."""
        return MARKS.get(self.state, "never")

    @property
    def in_force(self) -> bool:
        """Whether it holds its space."""
        return self.state in IN_FORCE

    @property
    def preparing(self) -> bool:
        """Whether work has yet to begin."""
        return self.state in BEFORE_ACTIVE

    @property
    def until_ns(self) -> int:
        """Its end, 0 where none was named."""
        return self.permit.form.until_ns if self.permit.form else 0

    def rank(self, now_ns: int) -> tuple[int, int, int]:
        """Sort key: worst first. Someone inside where work has stopped goes before everything but an emergency."""
        stopped = self.state in (State.SUSPENDED, State.EXPIRED)
        grave = 2 if stopped and not self.permit.occupied else _RANK.get(self.state, 4)
        over = 0 if 0 < self.until_ns <= now_ns else 1
        return grave, over, self.until_ns - now_ns

    @property
    def tested(self) -> list[str]:
        """The gases of a test, in the order they are tested in."""
        return in_order_of_test(self.template.gases) if self.template else []

    def people(self) -> list[tuple[str, str]]:
        """(person, inside | out | waiting) of the roster; whoever is inside without being on it stands first."""
        permit = self.permit
        listed = permit.form.entrants if permit.form else ()
        others = sorted((permit.inside | permit.entered_ever) - set(listed))
        found = [(p, _where(permit, p)) for p in (*others, *listed)]
        return sorted(found, key=lambda one: ("inside", "waiting", "out").index(one[1]))


def _where(permit: Permit, person: str) -> str:
    if person in permit.inside:
        return "inside"
    return "out" if person in permit.entered_ever else "waiting"


def permit_view(row: Row, space: Space | None, template: Template | None) -> PermitView:
    """From what the spine tells."""
    outstanding = row.get("outstanding_until_ns")
    return PermitView(
        id=text(row, "id"),
        site=text(row, "site"),
        gateway=text(row, "gateway"),
        space_name=text(row, "space_name") or (space.name if space else text(row, "space")),
        changed_ns=whole(row, "changed_ns"),
        outstanding_ns=outstanding if isinstance(outstanding, int) else None,
        rules=text(row, "rules") or (space.rules if space else ""),
        watched=row.get("watched") is not False,
        permit=msgspec.convert(row_of(row.get("permit")), Permit),
        space=space,
        template=template,
    )


@dataclass(frozen=True, slots=True)
class GasView:
    """One live value of a space and whether it is beyond the rules' alarm."""

    device: DeviceView
    value: ValueView
    beyond: bool


def gas_of(view: PermitView, devices: Iterable[DeviceView], rules: Rules | None) -> list[GasView]:
    """What its detectors measure now, in the order of testing; what nothing measures is left to the page to say."""
    mine = view.space.live.gas_devices if view.space else ()
    wanted = view.template.gases if view.template else ()
    found = [
        GasView(d, v, _beyond(v, rules))
        for d in devices
        if d.site == view.site and d.device in mine
        for v in d.values
        if v.quantity in wanted
    ]
    return sorted(found, key=lambda g: wanted.index(g.value.quantity))


def _beyond(value: ValueView, rules: Rules | None) -> bool:
    if rules is None or not isinstance(value.value, int | float):
        return False
    topic = Topic.ALARM if rules.of(Topic.ALARM, value.quantity) else Topic.GAS
    wrong = beyond(rules, topic, value.quantity, float(value.value), value.unit)
    return wrong is not None and wrong.reason == "limit-exceeded"


@dataclass(frozen=True, slots=True)
class EntryView:
    """One line of the journal."""

    at_ns: int
    quality: str
    actor: str
    role: str
    action: str
    what: str
    why: str
    hash: str
    prev: str
    source: str
    seq: int


@dataclass(frozen=True, slots=True)
class JournalView:
    """The journal, newest first, and how many places its chain is broken in."""

    lines: list[EntryView]
    broken: int


def journal_view(
    rows: Sequence[Row], words: PermitWords, rules: Rules | None = None
) -> JournalView:
    """From what the spine tells; the chain is checked anew."""
    entries = [msgspec.convert(row_of(r.get("entry")), Entry) for r in rows]
    grants = [e.fact for e in entries if isinstance(e.fact, GrantNoted)]
    holders = {g.cti: g.account for g in grants if g.account}
    lines = [
        EntryView(
            e.at_ns, e.quality.value, e.actor, e.role.value, e.action.value, words.fact(e, rules, holders),
            _reason(e), text(r, "hash"), e.prev, e.source, e.seq,
        )
        for e, r in zip(entries, rows, strict=True)
    ]  # fmt: skip
    return JournalView(lines[::-1], len(faults(entries)) if entries else 0)


def _reason(entry: Entry) -> str:
    """A lock gives no other reason than what it did."""
    fact = entry.fact
    return "" if isinstance(fact, LockTold) and entry.reason == fact.event else entry.reason
