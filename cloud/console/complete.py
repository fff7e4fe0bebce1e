"""Completeness of a gateway as the pages show it: a mark, a bar of 24 hours, the gaps. Pure."""

from __future__ import annotations

from cloud.api.rows import Row, row_of, rows_of, text, whole

HOUR_NS = 3600 * 10**9
MAX_GAPS = 200
MARKS = {
    "complete": "ok",
    "waiting": "stale",
    "incomplete": "alarm1",
    "stale": "stale",
    "unsure": "stale",
    "unheard": "never",
}


def completeness_view(row: Row, now_ns: int) -> dict[str, object]:
    """What the templates want of an audit."""
    gaps = [_gap(stream, gap) for stream in rows_of(row.get("streams")) for gap in _gaps(stream)]
    gaps.sort(key=lambda gap: whole(gap, "first_ns"), reverse=True)
    verdict = text(row, "verdict")
    told_ns = whole(row, "told_ns")
    return {
        "verdict": verdict,
        "mark": MARKS.get(verdict, "never"),
        "rows": whole(row, "rows"),
        "waiting": whole(row, "waiting"),
        "logged": whole(row, "logged"),
        "missing": whole(row, "missing"),
        "unnumbered": whole(row, "unnumbered"),
        "volatile": row.get("volatile") is True,
        "ended": [
            {"from_ns": whole(end, "from_ns"), "to_ns": whole(end, "to_ns")}
            for end in rows_of(row.get("ended"))[-10:]
        ],
        "told_s": max(now_ns - told_ns, 0) / 1e9 if told_ns else None,
        "hours": [_hour(hour, now_ns) for hour in rows_of(row.get("hours"))],
        "gaps": gaps[:MAX_GAPS],
        "more": max(len(gaps) - MAX_GAPS, 0),
    }


def _hour(row: Row, now_ns: int) -> dict[str, object]:
    lost = {why: n for why, n in row_of(row.get("lost")).items() if isinstance(n, int)}
    state = "none"
    if lost:
        state = "lost"
    elif whole(row, "waiting"):
        state = "waiting"
    elif whole(row, "rows"):
        state = "complete"
    return {
        "state": state,
        "age_s": max(now_ns - whole(row, "from_ns"), 0) / 1e9,
        "rows": whole(row, "rows"),
        "waiting": whole(row, "waiting"),
        "missing": sum(lost.values()),
        "reasons": sorted(lost),
    }


def _gaps(stream: Row) -> list[Row]:
    """Without what is merely on its way."""
    return [gap for gap in rows_of(stream.get("gaps")) if text(gap, "reason") != "in-flight"]


def _gap(stream: Row, gap: Row) -> dict[str, object]:
    letters = gap.get("letters")
    return {
        "cls": text(stream, "cls"),
        "stream": text(stream, "stream"),
        "first": whole(gap, "lo"),
        "last": whole(gap, "hi") - 1,
        "rows": whole(gap, "hi") - whole(gap, "lo"),
        "reason": text(gap, "reason"),
        "detail": text(gap, "detail"),
        "first_ns": whole(gap, "first_ns"),
        "last_ns": whole(gap, "last_ns"),
        "letters": [n for n in letters if isinstance(n, int)] if isinstance(letters, list) else [],
    }
