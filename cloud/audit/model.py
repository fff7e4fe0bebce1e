"""Which numbers of a stream are missing, and why. Pure.

Every number of [0, end) is either stored or in exactly one gap; a gap's reason is the first in `Reason` that is known of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from cloud.ingest.letters import Finding
from tocsin.contract.ranges import RangeSet


class Reason(StrEnum):
    """Why numbers are not stored, the surest first."""

    DEAD_LETTERED = "dead-lettered"  # could not be stored; the letter says why
    EVICTED = "evicted"  # the gateway's outbox was full and gave them up
    DAMAGED = "damaged"  # lost with a damaged outbox file
    IN_FLIGHT = "in-flight"  # taken since the gateway's last health but one: on its way as all is
    WAITING = "waiting"  # the gateway still has them and will send them
    VOLATILE = (
        "volatile"  # the outbox lay in memory, which a restart empties: no loss claim covers it
    )
    UNKNOWN = "unknown"  # the gateway has them no longer and told of no reason


COMING = frozenset({Reason.IN_FLIGHT, Reason.WAITING})


@dataclass(frozen=True, slots=True)
class Given:
    """Numbers [lo, hi) that a gateway said it gave up, stamped `first_ns`..`last_ns` where that is known."""

    lo: int
    hi: int
    reason: Reason
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers [lo, hi) that are not stored. Times are Unix ns of the rows around it (or of the rows, where told)."""

    lo: int
    hi: int
    reason: Reason
    first_ns: int | None = None
    last_ns: int | None = None
    letters: tuple[int, ...] = ()
    detail: str = ""

    @property
    def rows(self) -> int:
        """How many numbers."""
        return self.hi - self.lo

    @property
    def lost(self) -> bool:
        """Whether nothing will bring them by itself (a dead letter may be given in again)."""
        return self.reason not in COMING


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Everything known of one stream. `held`: what the gateway said last that it can still send, None: nothing.

    `fresh` is the first number that the gateway had not yet given when it told of the stream before that. `end` is one
    past the highest number anyone ever told of.
    """

    stream: str
    cls: str
    end: int
    stored: RangeSet
    rejected: RangeSet = field(default_factory=RangeSet)
    given_up: tuple[Given, ...] = ()
    held: tuple[int, int] | None = None
    fresh: int | None = None
    salvaged: bool = False
    volatile: bool = False


def gaps_of(facts: StreamFacts, letters: Iterable[Finding] = ()) -> list[Gap]:
    """The gaps of [0, end), by their numbers."""
    missing = RangeSet(facts.stored.missing(0, facts.end))
    gaps: list[Gap] = []

    def take(ranges: RangeSet, reason: Reason, told: Given | None = None) -> None:
        nonlocal missing
        rest = _without(missing, ranges)
        for lo, hi in _without(missing, rest):
            times = _share(told, lo, hi) if told else (None, None)
            gaps.append(Gap(lo, hi, reason, *times))
        missing = rest

    take(facts.rejected, Reason.DEAD_LETTERED)
    for reason in (Reason.EVICTED, Reason.DAMAGED):
        for told in facts.given_up:
            if told.reason is reason:
                take(RangeSet([(told.lo, told.hi)]), reason, told)
    if facts.held:
        lo, hi = facts.held
        if facts.fresh is not None:
            take(RangeSet([(max(lo, facts.fresh), hi)]), Reason.IN_FLIGHT)
        take(RangeSet([(lo, hi)]), Reason.WAITING)
    rest = RangeSet([(0, facts.end)])
    if facts.salvaged:
        take(rest, Reason.DAMAGED)
    take(rest, Reason.VOLATILE if facts.volatile and not facts.held else Reason.UNKNOWN)
    known = sorted(letters, key=lambda letter: letter.id)
    return [_with_letters(gap, known) for gap in sorted(gaps, key=lambda gap: gap.lo)]


def _without(a: RangeSet, b: RangeSet) -> RangeSet:
    return RangeSet(part for lo, hi in a for part in b.missing(lo, hi))


def _share(told: Given, lo: int, hi: int) -> tuple[int | None, int | None]:
    """The times of a part of what was given up: rows are about evenly spread over it."""
    if told.first_ns is None or told.last_ns is None:
        return told.first_ns, told.last_ns
    span, rows = told.last_ns - told.first_ns, max(told.hi - told.lo - 1, 1)
    return (
        told.first_ns + span * (lo - told.lo) // rows,
        told.first_ns + span * (hi - 1 - told.lo) // rows,
    )


def _with_letters(gap: Gap, letters: list[Finding]) -> Gap:
    if gap.reason is not Reason.DEAD_LETTERED:
        return gap
    mine = [letter for letter in letters if letter.lo < gap.hi and letter.hi > gap.lo]
    why = sorted({letter.reason for letter in mine})
    detail = ", ".join(why) if mine else "the letter is no longer kept"
    return Gap(
        gap.lo, gap.hi, gap.reason, gap.first_ns, gap.last_ns, tuple(m.id for m in mine), detail
    )
