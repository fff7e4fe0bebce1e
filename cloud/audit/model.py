"""Which numbers of a stream are missing, and why. Pure.

Every number of [0, end) is either stored or in exactly one gap; a gap's reason is the first in `Reason` that is known of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tocsin.contract.ranges import RangeSet


class Reason(StrEnum):
    """Why numbers are not stored, the surest first."""

    DEAD_LETTERED = "dead-lettered"  # could not be stored; the letter says why
    IN_FLIGHT = "in-flight"  # taken since the gateway's last health but one: on its way as all is
    LOGGED = "logged"  # in the log between broker and ingesters: durable, not stored yet
    EVICTED = "evicted"  # the gateway gave them up for want of room, before or after their commit
    DAMAGED = "damaged"  # lost with a damaged outbox file
    WAITING = "waiting"  # the gateway still has them and will send them
    POWER_CUT = "power-cut"  # the gateway had not yet forced it to its disk (outbox.fsync)
    OUT_OF_REACH = "out-of-reach"  # on the gateway's disk, which refuses: it works in memory
    VOLATILE = "volatile"  # the outbox lay in memory and was emptied: no loss claim covers it
    UNKNOWN = "unknown"  # the gateway has them no longer and told of no reason


COMING = frozenset({Reason.IN_FLIGHT, Reason.LOGGED, Reason.WAITING})


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows of a gateway that were stored and that the policy deleted later: days from `first_day` to `last_day`, the last at `at_ns`."""

    measurement: str
    rows: int
    first_day: str
    last_day: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Given:
    """Numbers [lo, hi) that a gateway said it gave up, stamped `first_ns`..`last_ns` where that is known."""

    lo: int
    hi: int
    reason: Reason
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A dead letter about numbers [lo, hi)."""

    id: int
    lo: int
    hi: int
    reason: str


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
class Span:
    """A time, in Unix ns; None where an end is not known."""

    from_ns: int | None
    to_ns: int | None


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Everything known of one stream. `held`: what the gateway said last that it can still send, None: nothing.

    `fresh`: the first number that the gateway had not yet given when it told of the stream before that. `end`: one past
    the highest number anyone ever told of. `ended`: it ended without a last word, and when it may have taken more.
    """

    stream: str
    cls: str
    end: int
    stored: RangeSet
    rejected: RangeSet = field(default_factory=RangeSet)
    logged: RangeSet = field(default_factory=RangeSet)
    given_up: tuple[Given, ...] = ()
    held: tuple[int, int] | None = None
    fresh: int | None = None
    salvaged: bool = False
    power_cut: bool = False
    out_of_reach: bool = False
    volatile: bool = False
    ended: Span | None = None


def gaps_of(facts: StreamFacts, letters: Iterable[Finding] = ()) -> list[Gap]:
    """The gaps of [0, end), by their numbers."""
    explained = RangeSet(facts.stored)
    gaps: list[Gap] = []

    def take(lo: int, hi: int, reason: Reason, told: Given | None = None) -> None:
        for a, b in explained.missing(lo, min(hi, facts.end)):
            gaps.append(Gap(a, b, reason, *_share(told, a, b)))
            explained.add(a, b)

    for lo, hi in facts.rejected:
        take(lo, hi, Reason.DEAD_LETTERED)
    if facts.held and facts.fresh is not None:
        take(max(facts.held[0], facts.fresh), facts.held[1], Reason.IN_FLIGHT)
    for lo, hi in facts.logged:
        take(lo, hi, Reason.LOGGED)
    for reason in (Reason.EVICTED, Reason.DAMAGED):
        for told in facts.given_up:
            if told.reason is reason:
                take(told.lo, told.hi, reason, told)
    if facts.held:
        take(*facts.held, Reason.WAITING)
    take(0, facts.end, _rest(facts))
    gaps.sort(key=lambda gap: gap.lo)
    return _with_letters(gaps, letters)


def _rest(facts: StreamFacts) -> Reason:
    """Why the gateway has not what nobody explained."""
    if facts.salvaged:
        return Reason.DAMAGED
    if facts.power_cut:
        return Reason.POWER_CUT
    if facts.held:
        return Reason.UNKNOWN
    if facts.out_of_reach:
        return Reason.OUT_OF_REACH
    return Reason.VOLATILE if facts.volatile else Reason.UNKNOWN


def _share(told: Given | None, lo: int, hi: int) -> tuple[int | None, int | None]:
    """The times of a part of what was given up: rows are about evenly spread over it."""
    if told is None or told.first_ns is None or told.last_ns is None:
        return (None, None) if told is None else (told.first_ns, told.last_ns)
    span, rows = told.last_ns - told.first_ns, max(told.hi - told.lo - 1, 1)
    return (
        told.first_ns + span * (lo - told.lo) // rows,
        told.first_ns + span * (hi - 1 - told.lo) // rows,
    )


def _with_letters(gaps: list[Gap], letters: Iterable[Finding]) -> list[Gap]:
    """`gaps` by their numbers, those with dead letters naming them."""
    mine: defaultdict[int, list[Finding]] = defaultdict(list)
    for letter in letters:
        i = bisect_right(gaps, letter.lo, key=lambda gap: gap.hi)
        while i < len(gaps) and gaps[i].lo < letter.hi:
            mine[i].append(letter)
            i += 1
    return [
        _naming(gap, mine[i]) if gap.reason is Reason.DEAD_LETTERED else gap
        for i, gap in enumerate(gaps)
    ]


def _naming(gap: Gap, letters: list[Finding]) -> Gap:
    why = sorted({letter.reason for letter in letters})
    detail = ", ".join(why) if letters else "the letter is no longer kept"
    return replace(gap, letters=tuple(sorted(letter.id for letter in letters)), detail=detail)
