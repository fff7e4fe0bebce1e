"""An audit for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cloud.audit.model import Gap
from cloud.audit.report import GatewayReport, StreamReport, Verdict
from tocsin.cli.output import table

MAX_LETTERS = 8
MAX_ENDS = 10


def gateway_text(found: GatewayReport, now_ns: int) -> str:
    """The verdict, the gaps if there are any, and what the answer cannot know."""
    lines = [verdict_line(found)]
    gaps = [_gap_line(stream, gap) for stream in found.streams for gap in stream.gaps]
    if gaps:
        headings = ["stream", "numbers", "rows", "from (UTC)", "to (UTC)", "why", "letters"]
        lines.append(table(headings, gaps))
    if found.unnumbered:
        lines.append(f"{found.unnumbered:,} rows were given up before they had a number")
    return "\n".join([*lines, *(f"note: {said}" for said in caveats(found, now_ns))])


def verdict_line(found: GatewayReport) -> str:
    """`gw-1: complete: 1,234,567 rows in 3 streams`."""
    about = "" if found.from_ns is found.to_ns is None else "about "
    n = len(found.streams)
    stored = f"{about}{found.rows:,} rows in {n} stream{'' if n == 1 else 's'}"
    if found.verdict is Verdict.COMPLETE:
        return f"{found.gateway}: complete: {stored}"
    parts = [f"{stored} stored"]
    if found.verdict is Verdict.UNHEARD:
        parts.append("the gateway has not told of its streams")
    if found.verdict is Verdict.STALE:
        parts.append(f"the gateway has told nothing since {utc(found.told_ns)} UTC")
    if found.verdict is Verdict.UNSURE:
        parts.append("an outbox ended without a last word")
    if found.missing:
        parts.append(f"{found.missing:,} missing")
    if found.logged:
        parts.append(f"{found.logged:,} in the log")
    if found.waiting:
        parts.append(f"{found.waiting:,} waiting at the gateway")
    return f"{found.gateway}: {found.verdict}: {', '.join(parts)}"


def caveats(found: GatewayReport, now_ns: int) -> list[str]:
    """What the answer does not cover."""
    said = []
    if found.told_ns is not None:
        at = f"as of {utc(found.told_ns)} UTC, {_ago(found.told_ns, now_ns)}"
        said.append(f"{at}: what the gateway took after that it has not told yet")
    for gone in found.deleted:
        days = (
            gone.first_day
            if gone.first_day == gone.last_day
            else f"{gone.first_day} to {gone.last_day}"
        )
        said.append(
            f"{gone.rows:,} rows of {gone.measurement} of {days} were stored, and deleted by policy since (last {utc(gone.at_ns)} UTC)"
        )
    if found.in_flight:
        said.append(f"{found.in_flight:,} rows of the last seconds are on their way")
    for end in found.ended[-MAX_ENDS:]:
        since = f"between {utc(end.from_ns)} and" if end.from_ns is not None else "before"
        said.append(
            f"an outbox ended without a last word: what it took {since} {utc(end.to_ns)} UTC is in no count"
        )
    if found.volatile:
        said.append("the outbox lies in memory: what a power cut took with it is in no count")
    return said


def lines_table(found: Sequence[GatewayReport], now_ns: int) -> str:
    """One line per gateway."""
    if not found:
        return "no gateways\n"
    headings = ["gateway", "site", "verdict", "rows", "waiting", "missing", "why", "as of"]
    return table(headings, [_line(one, now_ns) for one in found])


def _line(found: GatewayReport, now_ns: int) -> list[str]:
    why = [f"{reason} {n:,}" for reason, n in sorted(found.reasons.items())]
    if found.unnumbered:
        why.append(f"never numbered {found.unnumbered:,}")
    if found.volatile:
        why.append("volatile outbox")
    if found.ended:
        why.append("an outbox ended without a last word")
    return [
        found.gateway,
        found.site,
        found.verdict,
        f"{found.rows:,}",
        f"{found.waiting + found.logged:,}",
        f"{found.missing:,}",
        ", ".join(why) or "-",
        _ago(found.told_ns, now_ns),
    ]


def _gap_line(stream: StreamReport, gap: Gap) -> list[str]:
    letters = [str(letter) for letter in gap.letters]
    more = len(letters) - MAX_LETTERS
    return [
        f"{stream.cls} {stream.stream}",
        f"{gap.lo}" if gap.rows == 1 else f"{gap.lo}-{gap.hi - 1}",
        f"{gap.rows:,}",
        utc(gap.first_ns),
        utc(gap.last_ns),
        f"{gap.reason} ({gap.detail})" if gap.detail else str(gap.reason),
        ", ".join(letters[:MAX_LETTERS]) + (f" and {more} more" if more > 0 else ""),
    ]


def utc(ns: int | None) -> str:
    """To the second, or "?"."""
    return "?" if ns is None else f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


def _ago(ns: int | None, now_ns: int) -> str:
    if ns is None:
        return "never"
    seconds = max(now_ns - ns, 0) / 1e9
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
