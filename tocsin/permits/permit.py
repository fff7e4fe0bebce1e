"""A permit as its journal tells it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.permits import facts
from tocsin.permits.journal import Entry
from tocsin.permits.names import SEVERITY, Action, Cause, State
from tocsin.permits.sightings import Sightings

EXPIRY_WARNING = "expiry-warning"  # what a Noted is, `detail` the minutes
GATEWAY_PARTED = "gateway-parted"  # its journal was lost, or does not follow the cloud's any more
GATEWAY_JOINED = "gateway-joined"  # it does again; what it wrote in between is missing
NO_SIREN, HAS_SIREN = "no-siren", "has-siren"  # whether the gateway has one for the space
_LOSES_COUNT = frozenset({Cause.HEADCOUNT, Cause.UNLISTED})


class Test(msgspec.Struct, frozen=True):
    """The newest gas test, and who made it when."""

    at_ns: int
    tester: str
    told: facts.GasTested


class Permit(msgspec.Struct, frozen=True):
    """Everything a rule may look at. People are account names, times Unix ns."""

    id: str
    state: State = State.DRAFT
    since_ns: int = 0
    applicant: str = ""
    form: facts.Form | None = None
    rules: str = ""
    conflicts: tuple[str, ...] = ()
    isolated: frozenset[str] = frozenset()
    handed_back: bool = False
    ventilated_since_ns: int | None = None
    test: Test | None = None
    briefed: frozenset[str] = frozenset()
    approvers: tuple[str, ...] = ()
    attendant: str = ""
    activated_ns: int | None = None
    inside: frozenset[str] = frozenset()
    emptied_ns: int | None = None  # the last one came out
    entered_ever: frozenset[str] = frozenset()
    headcount_known: bool = True
    parted: bool = False  # what its gateway writes does not reach the cloud
    silent: bool = False  # its gateway has no siren for the space
    tools_in: int | None = None
    tools_out: int | None = None
    suspended_ns: int | None = None
    cause: Cause | None = None
    incident: bool = False  # something other than a person's word stopped it, ever
    rescue_ended: bool = False
    cleared_by: str = ""
    warned: frozenset[str] = frozenset()  # minutes before its end
    lock_events: dict[str, str] = {}  # the newest event of each lock that moves its bolt
    grants: tuple[facts.GrantNoted, ...] = ()

    @property
    def occupied(self) -> bool:
        """Whether somebody is inside, or nobody knows."""
        return bool(self.inside) or not self.headcount_known

    def outstanding_until_ns(self, now_ns: int) -> int | None:
        """When the last grant that one person can open with ends; None where none is live. In an emergency rescue grants count."""
        rescue = self.state is State.EMERGENCY
        ends = [g.exp_ns for g in self.grants if g.exp_ns > now_ns and (rescue or not g.rescue)]
        return max(ends, default=None)


_BOLT_EVENTS = facts.OPENERS | facts.LOCKED | {"opened", "closed", "forced"}


def fold(permit: Permit, entry: Entry, unknown: frozenset[str] = frozenset()) -> Permit:
    """The permit after one more entry. Whether the entry was allowed is not asked here.

    `unknown` are people of whom its writer did not know that they had come in: it takes none of them out.
    """
    said = entry.fact
    match said:
        case facts.Drafted(form):
            changes: dict[str, object] = {
                "form": form,
                "applicant": entry.actor,
                "since_ns": permit.since_ns or entry.at_ns,
            }
        case facts.Moved():
            changes = _moved(permit, entry, said)
        case facts.Isolated(item, on):
            isolated = permit.isolated | {item} if on else permit.isolated - {item}
            changes = {"isolated": isolated, "handed_back": False}
        case facts.Ventilated(on):
            since = permit.ventilated_since_ns
            changes = {"ventilated_since_ns": (since or entry.at_ns) if on else None}
        case facts.GasTested():
            changes = {"test": Test(entry.at_ns, entry.actor, said)}
        case facts.Briefed(person):
            changes = {"briefed": permit.briefed | {person}}
        case facts.ToolsCounted(way, count):
            changes = {"tools_in": count} if way == "in" else {"tools_out": count}
        case facts.Entered(person):
            changes = {
                "inside": permit.inside | {person},
                "entered_ever": permit.entered_ever | {person},
                "cleared_by": "",
            }
        case facts.Exited(person) if person in unknown:
            changes = {}
        case facts.Exited(person):
            changes = {"inside": permit.inside - {person}, "emptied_ns": entry.at_ns}
        case facts.Counted(inside):
            counted = unknown | set(inside)
            changes = {
                "inside": counted,
                "entered_ever": permit.entered_ever | counted,
                "headcount_known": not unknown,
                "cleared_by": permit.cleared_by if not counted else "",
            }
        case facts.LockTold(lock, event):
            moved = event in _BOLT_EVENTS
            changes = {"lock_events": permit.lock_events | {lock: event}} if moved else {}
        case facts.GrantNoted():
            changes = {"grants": (*permit.grants, said)}
        case facts.HandedBack():
            changes = {"handed_back": True}
        case facts.RescueEnded():
            changes = {"rescue_ended": True}
        case facts.Cleared():
            changes = {"cleared_by": entry.actor}
        case facts.Noted(what) if what in (GATEWAY_PARTED, GATEWAY_JOINED):
            lost = {"headcount_known": False, "cleared_by": ""}
            changes = lost | {"parted": what == GATEWAY_PARTED}
        case facts.Noted(what) if what in (NO_SIREN, HAS_SIREN):
            changes = {"silent": what == NO_SIREN}
        case facts.Noted(what, detail):
            changes = {"warned": permit.warned | {detail}} if what == EXPIRY_WARNING else {}
    return msgspec.structs.replace(permit, rules=entry.rules, **changes)


def _moved(permit: Permit, entry: Entry, said: facts.Moved) -> dict[str, object]:
    if said.source is not permit.state and SEVERITY[said.target] <= SEVERITY[permit.state]:
        return {}  # its writer did not know how far things had gone
    changes: dict[str, object] = {"state": said.target, "since_ns": entry.at_ns, "cleared_by": ""}
    if said.cause in _LOSES_COUNT:
        changes["headcount_known"] = False
    match said.target:
        case State.PREPARED:
            changes |= {"conflicts": said.conflicts, "test": None, "approvers": ()}
        case State.TESTED if permit.state is State.TESTED:
            changes["approvers"] = (*permit.approvers, entry.actor)  # the first of two
        case State.APPROVED:
            changes["approvers"] = (*permit.approvers, entry.actor)
        case State.ACTIVE:
            changes |= {"suspended_ns": None, "cause": None}
            if entry.action is Action.ACTIVATE:
                changes |= {"activated_ns": permit.activated_ns or entry.at_ns}
                changes |= {"attendant": entry.actor}
        case State.SUSPENDED | State.EMERGENCY | State.EXPIRED:
            changes["suspended_ns"] = permit.suspended_ns or entry.at_ns
            changes["cause"] = said.cause or permit.cause
            stopped = said.cause not in (None, Cause.PERSON)
            changes["incident"] = permit.incident or stopped or said.target is State.EMERGENCY
            if said.target is State.EMERGENCY:
                changes["rescue_ended"] = False
        case _:
            pass
    return changes


def permit_of(permit: str, entries: Iterable[Entry]) -> Permit:
    """The permit that entries in order tell."""
    entries = list(entries)
    folded, sightings = Permit(permit), Sightings(entries)
    for entry in entries:
        folded = fold(folded, entry, sightings.unknown_to(entry))
        sightings.take(entry, folded.inside)
    return folded


def permit_told_before(permit: str, entries: Iterable[Entry]) -> Permit:
    """As versions up to the one that first asks what a writer knew have told it: what they signed must still verify."""
    folded = Permit(permit)
    for entry in entries:
        folded = fold(folded, entry)
    return folded
