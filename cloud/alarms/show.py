"""Alarms and journals as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tocsin.cli.output import table


def alarm_table(rows: Sequence[dict[str, object]]) -> str:
    """One line per alarm."""
    if not rows:
        return "no alarms\n"
    headings = ["alarm", "raised (UTC)", "where", "what", "level", "value", "state"]
    return table(headings, [_line(row) for row in rows])


def journal_table(rows: Sequence[dict[str, object]]) -> str:
    """One line per transition."""
    headings = ["time (UTC)", "change", "level", "value", "by", "note"]
    return table(
        headings,
        [
            [
                utc(row["t_ns"]),
                str(row["change"]),
                str(row["level"]),
                _value(row),
                str(row["actor"]),
                str(row["note"]),
            ]
            for row in rows
        ],
    )


def _line(row: dict[str, object]) -> list[str]:
    where = "/".join(str(row[k]) for k in ("site", "gateway", "device") if row.get(k))
    return [
        str(row["alarm"]),
        utc(row["raised_ns"]),
        where,
        " ".join(filter(None, (str(row["rule"]), _told_why(row)))),
        str(row["level"]),
        _value(row),
        _state(row),
    ]


def _told_why(row: dict[str, object]) -> str:
    return f"({row['why']})" if row.get("measurement") == "permit" and row.get("why") else ""


def _state(row: dict[str, object]) -> str:
    if not row["active"]:
        return "ended"
    words = ["active" if row["beyond"] else "returned"]
    words.append("acknowledged" if row["acknowledged"] else "unacknowledged")
    asked = row.get("pending")
    if isinstance(asked, list) and asked:
        words.append("asked: " + ", ".join(map(str, asked)))
    return ", ".join(words)


def _value(row: dict[str, object]) -> str:
    value = row.get("value")
    if not isinstance(value, int | float):
        return ""
    limit = row.get("limit")
    beyond = f" (limit {limit:g})" if isinstance(limit, int | float) else ""
    return f"{value:g} {row.get('unit', '')}{beyond}"


def utc(ns: object) -> str:
    """A time for a terminal, UTC to the second; empty when there is none."""
    if not isinstance(ns, int):
        return ""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
