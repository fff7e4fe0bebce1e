"""Reading what the spine answers: maps whose fields are checked here, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloud.api.services import Spine
from cloud.identity.rules import Principal, sees
from tocsin.errors import NotFoundError

Row = Mapping[str, object]


def text(row: Row, key: str) -> str:
    """A text field; empty when absent."""
    value = row.get(key)
    return value if isinstance(value, str) else ""


def whole(row: Row, key: str) -> int:
    """An integer field; 0 when absent."""
    value = row.get(key)
    return value if isinstance(value, int) else 0


def number(row: Row, key: str) -> float | None:
    """A number, or None."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else None


def flag(row: Row, key: str) -> bool:
    """Whether the field is true."""
    return row.get(key) is True


def rows_of(answer: object) -> list[Row]:
    """The maps in an answer that is a list of maps."""
    if not isinstance(answer, list):
        return []
    return [r for r in answer if isinstance(r, dict)]


def row_of(answer: object) -> Row:
    """The map that an answer is."""
    return answer if isinstance(answer, dict) else {}


def within(principal: Principal, rows: Iterable[Row]) -> list[Row]:
    """Only the rows of sites the caller sees; a row that names no site is nobody's but an all-sites caller's."""
    return [r for r in rows if sees(principal, text(r, "site"))]


async def alarm_in_scope(spine: Spine, principal: Principal, alarm: str) -> Row:
    """One alarm.

    Raises:
        NotFoundError: no such alarm, or at a site the caller does not see.
    """
    for active, limit in ((True, 1000), (False, 10_000)):
        found = rows_of(await spine.call("alarms", active=active, limit=limit))
        for row in within(principal, found):
            if row.get("alarm") == alarm:
                return row
    raise NotFoundError(f"there is no alarm {alarm!r}, or it is not at one of your sites")
