"""A moment as people type it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tocsin.errors import UsageError

_AGO = re.compile(r"-(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EARLIEST_NS = 365 * 86_400 * 10**9
_HINT = "2026-11-25T08:00, 2026-11-25 08:00:00+08:00, 2026-11-25, now, -90s, -15m, -1h, -2d"


def moment_ns(text: str, now_ns: int) -> int:
    """Unix ns of `now`, of `-1h`, or of an ISO 8601 time (UTC unless it names its zone).

    Raises:
        UsageError: it is none of them.
    """
    told = text.strip()
    if told == "now":
        return now_ns
    ago = _AGO.fullmatch(told)
    if ago:
        return _held(text, now_ns - int(float(ago[1]) * _SECONDS[ago[2]] * 1e9))
    try:
        when = datetime.fromisoformat(told)
    except ValueError:
        raise UsageError(f"{text!r} is no time", hint=_HINT) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return _held(text, int(when.timestamp() * 1_000_000) * 1000)


def _held(text: str, then_ns: int) -> int:
    if not _EARLIEST_NS <= then_ns < 2**63:
        raise UsageError(f"{text!r} is not between 1971 and 2262", hint=_HINT)
    return then_ns
