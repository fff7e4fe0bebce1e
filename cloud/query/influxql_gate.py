"""What may be asked of an InfluxDB with the cloud's own account: one InfluxQL statement that reads this database.

InfluxQL has no parser here, so whatever could hide a second statement, a write or another database is refused, even
inside a quoted text.
"""

from __future__ import annotations

import re

from tocsin.errors import QueryError, QueryReason

MAX_BYTES = 64 << 10
_START = re.compile(
    r"\s*(SELECT\b|SHOW\s+(?:MEASUREMENTS|SERIES|TAG\s+KEYS|TAG\s+VALUES|FIELD\s+KEYS|RETENTION\s+POLICIES)\b)",
    re.I,
)
_INTO = re.compile(r"\binto\b", re.I)
_ON = re.compile(r"\bon\b", re.I)
_OTHER_DATABASE = re.compile(r'\.\s*(?:"(?:[^"\\]|\\.)*"|\w*)\s*\.')


def check_influxql(text: str) -> str:
    """The statement to forward.

    Raises:
        QueryError: it is no single SELECT or SHOW, or it reaches beyond the cloud's own database.
    """
    statement = text.strip().rstrip(";").rstrip()
    if len(statement.encode("utf-8", "replace")) > MAX_BYTES or "\x00" in statement:
        raise QueryError(QueryReason.SYNTAX, f"longer than {MAX_BYTES} bytes or binary")
    start = _START.match(statement)
    if start is None or ";" in statement:
        raise QueryError(
            QueryReason.NOT_ONE_SELECT,
            "exactly one SELECT is answered here, or SHOW of measurements, series, tags, fields, retention policies",
            hint="the query door only reads; send one statement, without a semicolon in it",
        )
    shows = start[1].upper().startswith("SHOW")
    for found, what in (
        (_INTO.search(statement), "INTO writes"),
        ("--" in statement or "/*" in statement, "a comment hides things"),
        (_OTHER_DATABASE.search(statement), "a name with two dots reaches another database"),
        (shows and _ON.search(statement), "ON reaches another database"),
    ):
        if found:
            raise QueryError(QueryReason.FORBIDDEN, f"{what} and is not let through")
    return statement
