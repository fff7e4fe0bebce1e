"""A moment as people type it."""

from __future__ import annotations

import pytest

from tocsin.cli.moments import moment_ns
from tocsin.errors import UsageError

NOW = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 1_800_000_000),
        ("-90s", 1_800_000_000 - 90),
        ("-15m", 1_800_000_000 - 900),
        ("-15 min", 1_800_000_000 - 900),
        ("-1h", 1_800_000_000 - 3600),
        ("-0.5d", 1_800_000_000 - 43_200),
        ("-1w", 1_800_000_000 - 604_800),
        ("2027-01-15T08:00:00", 1_800_000_000),
        ("2027-01-15 16:00+08:00", 1_800_000_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("2027-01-15", 1_800_000_000 - 8 * 3600),
    ],
)
def test_times_are_read(text: str, seconds: int) -> None:
    assert moment_ns(text, NOW) == seconds * 10**9


@pytest.mark.parametrize(
    "text", ["", "yesterday", "1h", "-1y", "25:00", "1969-01-01", "--1h", "-999999d", "9999-01-01"]
)
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        moment_ns(text, NOW)
