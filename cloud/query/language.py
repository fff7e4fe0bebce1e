"""Telling texts in other query languages from SQL, to name the mistake instead of a syntax error."""

from __future__ import annotations

import re

_FLUX = re.compile(
    r"^\s*(import\s+\"|from\s*\(\s*bucket\s*:)|\|>\s*(range|filter|aggregateWindow)\s*\(", re.I
)
_INFLUXQL_SHOW = re.compile(
    r"^\s*SHOW\s+(MEASUREMENTS|DATABASES|SERIES|TAG|FIELD|RETENTION|SHARDS?|STATS|DIAGNOSTICS|CONTINUOUS|USERS|QUERIES)\b",
    re.I,
)
_DURATION = re.compile(r"\bnow\(\)\s*[-+]\s*\d+(ns|u|µ|ms|s|m|h|d|w)\b", re.I)
_GROUP_BY_TIME = re.compile(
    r"\bGROUP\s+BY\b.*\btime\s*\(\s*\d+(ns|u|µ|ms|s|m|h|d|w)\b", re.I | re.S
)
_FILL = re.compile(
    r"\b(fill\s*\(\s*(null|none|previous|linear|\d+)\s*\)|slimit\s+\d+|tz\s*\(\s*')", re.I
)
_REGEX = re.compile(r"(=~|!~)\s*/")


def foreign_language(sql: str) -> str:
    """ "Flux" or "InfluxQL" when the text is plainly that, else ""."""
    if _FLUX.search(sql):
        return "Flux"
    if any(p.search(sql) for p in (_INFLUXQL_SHOW, _DURATION, _GROUP_BY_TIME, _FILL, _REGEX)):
        return "InfluxQL"
    return ""
