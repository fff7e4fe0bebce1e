"""Permits as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloud.alarms.show import utc
from tocsin.cli.output import printable, table

Row = Mapping[str, object]


def permit_table(rows: Sequence[Row]) -> str:
    """One line per permit."""
    if not rows:
        return "none"
    headings = ["permit", "space", "state", "inside", "until (UTC)", "applicant"]
    return table(headings, [_line(row) for row in rows])


def permit_page(row: Row, journal: Sequence[Row]) -> str:
    """One permit, then its journal."""
    headings = ["time (UTC)", "where", "who", "as", "did", "what", "reason"]
    told = [_map(_map(e.get("entry")).get("fact")) for e in journal]
    holders = {f.get("cti"): f.get("account") for f in told if f.get("type") == "grant-noted"}
    return table(
        ["permit", "space", "state", "inside", "until (UTC)", "applicant"], [_line(row)]
    ) + ("\n" + table(headings, [_entry(e, holders) for e in journal]))


def lock_pages(report: Row, now_ns: int) -> str:
    """Every lock, what it has not taken yet, and every issuer key."""
    locks, issuers = _rows(report.get("locks")), _rows(report.get("issuers"))
    if not locks:
        return "no lock is commissioned"
    headings = ["lock", "revoked", "issuer key", "time told", "waits for"]
    keys = ["issuer key", "state", "locks", "not yet"]
    return "\n".join(
        [
            table(headings, [_lock(row, now_ns) for row in locks]),
            table(keys, [_issuer(row) for row in issuers]),
        ]
    )


def change_table(rows: Sequence[Row]) -> str:
    """One line per change of keys."""
    if not rows:
        return "none"
    lines = [
        [utc(r["at_ns"]), *(printable(str(r.get(name, ""))) for name in ("by", "what", "about", "reason"))]
        for r in rows
    ]  # fmt: skip
    return table(["time (UTC)", "who", "did", "to", "reason"], lines)


def _lock(row: Row, now_ns: int) -> list[str]:
    held = _map(row.get("held"))
    waits = [
        f"{o['kind']} since {_age(o.get('made_ns'), now_ns)}"
        + (f", on {o['gateway']}" if o.get("kept_ns") else ", not sent")
        for o in _rows(row.get("open"))
    ]
    waits += [
        f"{o['kind']} refused: {o['reason']}, {_age(o.get('ended_ns'), now_ns)} ago"
        for o in _rows(row.get("refused"))
    ]
    return [
        f"{row['site']}/{row['device']}",
        f"below {held['min_ctr']}, {_age(held.get('revoked_ns'), now_ns)} ago"
        if held.get("revoked_ns")
        else "nothing",
        f"{held['kid']}"
        + (f", {_age(held.get('rotated_ns'), now_ns)} ago" if held.get("rotated_ns") else ""),
        f"{_age(held.get('time_ns'), now_ns)} ago" if held.get("time_ns") else "never",
        "; ".join(waits) or "-",
    ]


def _issuer(row: Row) -> list[str]:
    is_retired = row["state"] == "retired"
    count = row["refused"] if is_retired else row["held"]
    missing = row.get("missing")
    return [
        str(row["kid"]),
        str(row["state"]),
        f"{'refused' if is_retired else 'taken'} by {count} of {row['locks']}",
        ", ".join(map(str, missing)) if isinstance(missing, list) and missing else "-",
    ]


def _age(ns: object, now_ns: int) -> str:
    seconds = max(0, now_ns - ns) // 10**9 if isinstance(ns, int) else 0
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _rows(value: object) -> list[Row]:
    return [_map(row) for row in value] if isinstance(value, list) else []


def _line(row: Row) -> list[str]:
    told = _map(row.get("permit"))
    inside = told.get("inside")
    count = str(len(inside)) if isinstance(inside, list) else "?"
    return [
        str(row["id"]),
        f"{row['site']}/{row['space']}",
        str(row["state"]),
        count if told.get("headcount_known", True) else "unknown",
        utc(row["until_ns"]) if row.get("until_ns") else "-",
        str(told.get("applicant", "")),
    ]


def _entry(row: Row, holders: Mapping[object, object]) -> list[str]:
    entry = _map(row.get("entry"))
    fact = _map(entry.get("fact"))
    if fact.get("type") == "lock-told" and (holder := holders.get(fact.get("cti"))):
        fact = {**fact, "by": holder}
    what = ", ".join(f"{k} {_cell(v)}" for k, v in fact.items() if k not in ("type", "form"))
    return [
        utc(entry.get("at_ns")),
        str(entry.get("source")),
        str(entry.get("actor")),
        str(entry.get("role")),
        str(entry.get("action")),
        f"{fact.get('type', '')}: {what}"[:90],
        str(entry.get("reason", "")),
    ]


def _cell(value: object) -> str:
    return f"({len(value)})" if isinstance(value, list | tuple | dict) else str(value)


def _map(value: object) -> Row:
    return value if isinstance(value, dict) else {}
