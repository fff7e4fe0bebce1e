"""Text to Unix nanoseconds, exactly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_PER_UNIT = {"epoch": 10**9, "epoch_ms": 10**6, "epoch_ns": 1}
_LIMIT_NS = 2**63


def reader(form: str, zone: str) -> Callable[[str], int]:
    """A function from text to nanoseconds since 1970 UTC; it raises ValueError.

    `form` is iso, epoch, epoch_ms, epoch_ns or a strptime pattern; a time without an offset is in `zone`.
    """
    if form in _PER_UNIT:
        return lambda text: _epoch(text, _PER_UNIT[form])
    tz: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
    if form == "iso":
        return lambda text: from_datetime(_zoned(datetime.fromisoformat(text.strip()), tz))
    return lambda text: from_datetime(
        _zoned(datetime.strptime(text.strip(), form), tz)  # noqa: DTZ007 - zoned right here
    )


def from_datetime(moment: datetime) -> int:
    """Nanoseconds of a moment that knows its zone."""
    ns = (moment - _EPOCH) // _US * 1000
    if not -_LIMIT_NS <= ns < _LIMIT_NS:
        raise ValueError("outside 1677 to 2262")
    return ns


def _zoned(moment: datetime, zone: tzinfo) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _epoch(text: str, per_unit: int) -> int:
    try:
        ns = int(Decimal(text.strip()) * per_unit)
    except (InvalidOperation, OverflowError) as exc:
        raise ValueError(f"no number: {text!r}") from exc
    if not -_LIMIT_NS <= ns < _LIMIT_NS:
        raise ValueError("outside 1677 to 2262")
    return ns
