"""Audits of two gateways, as the spine's own rules judge them: one complete, one with every kind of gap."""

from __future__ import annotations

from cloud.audit.marks import Mark
from cloud.audit.model import Finding, Given, Reason, Span, StreamFacts
from cloud.audit.report import HOUR_NS, GatewayReport, Known, Unnumbered, report
from tocsin.contract.ids import ulid
from tocsin.contract.ranges import RangeSet

S = 10**9


def complete(site: str, gateway: str, now_ns: int) -> GatewayReport:
    """A row a second for the last 24 hours, all of them stored."""
    begin, hours = _day(now_ns)
    rows = (now_ns - begin) // S
    facts = StreamFacts(ulid(begin), "telemetry", rows, RangeSet([(0, rows)]), held=(rows, rows))
    marks = [Mark(0, rows, begin, now_ns)]
    known = [Known(facts, marks)]
    return report(site, gateway, known, told_ns=now_ns - 3 * S, now_ns=now_ns, hours=hours)


def gapped(site: str, gateway: str, now_ns: int) -> GatewayReport:
    """The same with a gap of each kind."""
    begin, hours = _day(now_ns)
    rows = (now_ns - begin) // S
    stored = RangeSet([(0, 7200), (14_400, 25_000), (25_100, 40_000), (47_200, rows - 4000)])
    stored = RangeSet(
        part for have in stored for part in RangeSet([(60_000, 60_500)]).missing(*have)
    )
    facts = StreamFacts(
        ulid(begin),
        "telemetry",
        rows,
        stored,
        RangeSet([(25_000, 25_100)]),
        given_up=(Given(7200, 14_400, Reason.EVICTED, begin + 7200 * S, begin + 14_399 * S),
         Given(60_000, 60_500, Reason.DAMAGED)),
        held=(rows - 4000, rows),
        fresh=rows - 5,
        ended=Span(begin + 100 * S, begin + 200 * S),
    )  # fmt: skip
    marks = [Mark(lo, hi, begin + lo * S, begin + (hi - 1) * S) for lo, hi in stored]
    letters = [Finding(17, 25_000, 25_060, "wrong-type"), Finding(18, 25_060, 25_100, "bad-crc")]
    return report(
        site,
        gateway,
        [Known(facts, marks, letters)],
        told_ns=now_ns - 4 * S,
        now_ns=now_ns,
        unnumbered=[Unnumbered(12, None, None)],
        hours=hours,
    )


def _day(now_ns: int) -> tuple[int, range]:
    last = now_ns // HOUR_NS * HOUR_NS
    begin = last - 23 * HOUR_NS
    return begin, range(begin, last + 1, HOUR_NS)
