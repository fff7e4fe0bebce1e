"""The comparison itself: one row dropped, doubled, altered, moved or unmarked is seen as exactly that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.traces.compare import JUMP, Got, gpsd, readings
from tests.traces.truth import MISSING, Reading

EXPECTED = [
    Reading(10**18, {"level": 1.0}, {}),
    Reading(10**18, {"level": 2.0}, {}),
    Reading(10**18 + 10**9, {"level": None}, {"level": MISSING}),
]
GOOD = [
    Got(10**18, 10**18, {"level": 1.0}, {"level": 0}),
    Got(10**18 + 1, 10**18, {"level": 2.0}, {"level": 0}),
    Got(10**18 + 10**9, 10**18 + 10**9, {"level": None}, {"level": MISSING}),
]


def test_rows_as_they_should_be_differ_in_nothing() -> None:
    assert readings(EXPECTED, GOOD) == []
    assert readings(EXPECTED, list(reversed(GOOD))) == []


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        (lambda rows: rows[:2], 1),
        (lambda rows: [*rows, rows[2]._replace(time_ns=rows[2].time_ns + 1)], 1),
        (lambda rows: [rows[0]._replace(values={"level": 1.0000001}), *rows[1:]], 1),
        (lambda rows: [rows[0]._replace(values={"level": None}), *rows[1:]], 1),
        (lambda rows: [rows[0]._replace(quality={"level": JUMP}), *rows[1:]], 1),
        (lambda rows: [*rows[:2], rows[2]._replace(quality={"level": 0})], 1),
        (lambda rows: [*rows[:2], rows[2]._replace(values={"level": 0.0})], 1),
        (lambda rows: [rows[0], rows[1]._replace(time_ns=10**18), rows[2]], 1),
        (lambda rows: [*rows[:2], rows[2]._replace(time_ns=10**18 + 2 * 10**9)], 1),
        (lambda rows: [*rows[:2], rows[2]._replace(source_ns=10**18 + 5)], 1),
    ],
)
def test_each_single_change_is_one_difference(change: Any, differences: int) -> None:
    assert len(readings(EXPECTED, change(GOOD))) == differences


def test_a_position_that_gpsd_puts_elsewhere_is_a_difference() -> None:
    reports = [
        {"mode": 3, "time": "2026-11-23T12:00:00.000Z", "lat": 22.5, "lon": 114.0},
        {"mode": 1, "time": "2026-11-23T12:00:01.000Z"},
    ]
    start = 1_795_435_200 * 10**9
    fix = Got(start, start, {"fix": 3, "lat": 22.5, "lon": 114.0, "speed": 0.0, "alt": None}, {})
    nothing = dict.fromkeys(("lat", "lon", "speed", "alt"))
    none = Got(start + 10**9, start + 10**9, {"fix": 0, **nothing}, {})
    assert gpsd(reports, [fix, none]) == []
    assert len(gpsd(reports, [fix._replace(values={**fix.values, "lat": 22.500002}), none])) == 1
    assert len(gpsd(reports, [fix._replace(values={**fix.values, "fix": 2}), none])) == 1
    assert len(gpsd(reports, [fix])) == 1
    assert len(gpsd(reports, [none, fix])) == 1
    assert len(gpsd(reports, [fix, none._replace(values={**none.values, "lat": 22.5})])) == 1
