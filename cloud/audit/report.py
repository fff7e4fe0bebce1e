"""The answer of an audit: per stream what is stored and what is missing, within a time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cloud.audit.marks import Mark, around, part, rows_within
from cloud.audit.model import Deleted, Finding, Gap, Reason, Span, StreamFacts, gaps_of
from tocsin.contract.ids import time_of

HOUR_NS = 3600 * 10**9
HEARD_WITHIN_NS = 15 * 10**9  # three of the health messages in which a gateway tells of its streams


class Verdict(StrEnum):
    """What is to be said of a gateway."""

    COMPLETE = "complete"  # everything it told of is stored
    WAITING = "waiting"  # what is missing is still with the gateway, or in the log
    INCOMPLETE = "incomplete"  # something will not come by itself
    STALE = "stale"  # nothing is known to be missing, but the gateway has not told of all the time asked for
    UNSURE = "unsure"  # everything it told of is stored, but an outbox ended then and nobody knows its last numbers
    UNHEARD = "unheard"  # the gateway never told of its streams


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One stream: `rows` stored and the gaps, within the time asked for."""

    stream: str
    cls: str
    end: int
    rows: int
    gaps: list[Gap]
    ended: Span | None = None


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour: rows stored, rows that will come, rows missing by reason."""

    from_ns: int
    rows: int
    waiting: int
    lost: dict[str, int]


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """`told_ns`: when the gateway last told of its streams; nothing is known of what it took after that.

    `ended`: when streams ended of which nobody knows the last numbers: what was taken then is in no count.
    Rows: stored, on their way, in the log between broker and ingesters, waiting at the gateway, missing, and given up before they had a number.
    `deleted`: what of the stored the policy deleted since.
    """

    site: str
    gateway: str
    verdict: Verdict
    told_ns: int | None
    from_ns: int | None
    to_ns: int | None
    rows: int
    in_flight: int
    logged: int
    waiting: int
    missing: int
    unnumbered: int
    reasons: dict[str, int]  # missing rows by reason
    volatile: bool
    ended: list[Span]
    streams: list[StreamReport] = field(default_factory=list)
    hours: list[Hour] = field(default_factory=list)
    deleted: list[Deleted] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """What the cloud holds of one stream. `marks` by their numbers."""

    facts: StreamFacts
    marks: Sequence[Mark] = ()
    letters: Iterable[Finding] = ()


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """Rows given up before they had a number."""

    rows: int
    first_ns: int | None
    last_ns: int | None


def report(
    site: str,
    gateway: str,
    known: Sequence[Known],
    *,
    told_ns: int | None,
    now_ns: int,
    from_ns: int | None = None,
    to_ns: int | None = None,
    unnumbered: Sequence[Unnumbered] = (),
    hours: Sequence[int] = (),
) -> GatewayReport:
    """Judge a gateway. Without times: all there ever was up to `now_ns`. `hours`: the starts of those to count one by one."""
    timed = [(k, _timed(k, told_ns)) for k in known]
    streams = [
        StreamReport(
            k.facts.stream,
            k.facts.cls,
            k.facts.end,
            _rows(k, from_ns, to_ns),
            [g for g in found if _within(g, from_ns, to_ns)],
            _ended(k, known),
        )
        for k, found in timed
    ]
    gaps = [gap for stream in streams for gap in stream.gaps]
    in_flight = sum(g.rows for g in gaps if g.reason is Reason.IN_FLIGHT)
    logged = sum(g.rows for g in gaps if g.reason is Reason.LOGGED)
    waiting = sum(g.rows for g in gaps if g.reason is Reason.WAITING)
    reasons: Counter[str] = Counter()
    for gap in gaps:
        if gap.lost:
            reasons[gap.reason.value] += gap.rows
    missing = reasons.total()
    ended = _ends(streams, from_ns, to_ns)
    never = sum(u.rows for u in unnumbered if _touches(u.first_ns, u.last_ns, from_ns, to_ns))
    verdict = Verdict.COMPLETE
    if told_ns is None:
        verdict = Verdict.UNHEARD
    elif missing or never:
        verdict = Verdict.INCOMPLETE
    elif waiting or logged:
        verdict = Verdict.WAITING
    elif told_ns < _asked_until(from_ns, to_ns, now_ns):
        verdict = Verdict.STALE
    elif ended:
        verdict = Verdict.UNSURE
    return GatewayReport(
        site,
        gateway,
        verdict,
        told_ns,
        from_ns,
        to_ns,
        sum(s.rows for s in streams),
        in_flight,
        logged,
        waiting,
        missing,
        never,
        dict(reasons),
        any(k.facts.volatile for k in known),
        ended,
        streams,
        _hours(hours, timed),
    )


def _asked_until(from_ns: int | None, to_ns: int | None, now_ns: int) -> int:
    """When a gateway must have told of its streams for the answer to cover the time asked for."""
    until = now_ns - HEARD_WITHIN_NS
    if to_ns is not None:
        until = min(until, to_ns)
    return until if from_ns is None else max(until, from_ns)


def _ended(known: Known, others: Iterable[Known]) -> Span | None:
    """When a stream ended without a last word, as narrow as rows show it: after its last, before the first of the next one."""
    end = known.facts.ended
    if end is None:
        return None
    from_ns, to_ns = end.from_ns, end.to_ns
    last_ns = max((mark.last_ns for mark in known.marks), default=None)
    if last_ns is not None:
        if to_ns is not None and last_ns > to_ns:
            to_ns = None  # the next one began with a clock that was not set
        from_ns = last_ns if from_ns is None else max(from_ns, last_ns)
    if to_ns is None and from_ns is not None:
        after = [
            mark.first_ns if mark.first_ns > from_ns else mark.last_ns
            for other in others
            if other is not known and other.facts.cls == known.facts.cls
            for mark in other.marks
            if mark.last_ns > from_ns
        ]
        to_ns = min(after, default=None)
    return Span(from_ns, to_ns)


def _ends(streams: Iterable[StreamReport], from_ns: int | None, to_ns: int | None) -> list[Span]:
    """Each once: the streams of all classes end together."""
    ends = {s.ended for s in streams if s.ended is not None}
    mine = [e for e in ends if _touches(e.from_ns, e.to_ns, from_ns, to_ns)]
    return sorted(mine, key=lambda e: (e.to_ns or 0, e.from_ns or 0))


def _timed(known: Known, told_ns: int | None) -> list[Gap]:
    """The gaps with the times of their neighbours where the gateway did not tell theirs."""
    facts = known.facts
    out = []
    for gap in gaps_of(facts, known.letters):
        before, after = around(gap.lo, gap.hi, known.marks)
        first = gap.first_ns if gap.first_ns is not None else before
        last = gap.last_ns if gap.last_ns is not None else after
        if first is None:
            first = time_of(facts.stream)
        if last is None and facts.held:
            last = told_ns  # the end of a stream that goes on
        out.append(replace(gap, first_ns=first, last_ns=last))
    return out


def _rows(known: Known, from_ns: int | None, to_ns: int | None) -> int:
    if from_ns is None and to_ns is None:
        return known.facts.stored.count
    begin, end = _bounds(from_ns, to_ns)
    return rows_within(known.marks, begin, end)


def _bounds(from_ns: int | None, to_ns: int | None) -> tuple[int, int]:
    return from_ns if from_ns is not None else 0, to_ns if to_ns is not None else 2**63


def _within(gap: Gap, from_ns: int | None, to_ns: int | None) -> bool:
    return _touches(gap.first_ns, gap.last_ns, from_ns, to_ns)


def _touches(
    first_ns: int | None, last_ns: int | None, from_ns: int | None, to_ns: int | None
) -> bool:
    """Whether it may have been in the time asked for; where a time is not known, it may."""
    begin, end = _bounds(from_ns, to_ns)
    return (first_ns is None or first_ns < end) and (last_ns is None or last_ns >= begin)


def _hours(starts: Sequence[int], timed: Iterable[tuple[Known, list[Gap]]]) -> list[Hour]:
    if not starts:
        return []
    recent = [
        ([m for m in known.marks if m.last_ns >= starts[0]], [g for g in gaps if _within(g, starts[0], None)])
        for known, gaps in timed
    ]  # fmt: skip
    return [_hour(at, recent) for at in starts]


def _hour(at: int, recent: Sequence[tuple[list[Mark], list[Gap]]]) -> Hour:
    rows = waiting = 0
    lost: dict[str, int] = {}
    for marks, gaps in recent:
        rows += rows_within(marks, at, at + HOUR_NS)
        for gap in gaps:
            if gap.first_ns is None or gap.last_ns is None:
                continue
            share = part(gap.rows, gap.first_ns, gap.last_ns, at, at + HOUR_NS)
            if not share and _within(gap, at, at + HOUR_NS):
                share = 1  # few rows over many hours: each shows it
            if not gap.lost:
                waiting += share
            elif share:
                lost[gap.reason.value] = lost.get(gap.reason.value, 0) + share
    return Hour(at, rows, waiting, lost)
