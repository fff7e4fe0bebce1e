"""Permits as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloud.alarms.show import utc
from tocsin.cli.output import table

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
    return table(
        ["permit", "space", "state", "inside", "until (UTC)", "applicant"], [_line(row)]
    ) + ("\n" + table(headings, [_entry(e) for e in journal]))


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


def _entry(row: Row) -> list[str]:
    entry = _map(row.get("entry"))
    fact = _map(entry.get("fact"))
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
